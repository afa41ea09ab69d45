//! The decoders of compressed archives, behind one trait.
//!
//! gzip may be of several members, Zstandard of several frames, with frames to be skipped among them. Each checks its
//! own checksum. A Zstandard frame says how far back it may refer, and has that much memory kept for it: more than
//! [`Limits::zstd_window`](crate::limits::Limits::zstd_window) is refused.

use std::io::{BufRead, Read};

use super::UnpackError;

/// What is inside of a compressed stream.
///
/// # Errors
/// When this build has no decoder for it.
#[cfg(feature = "archives")]
pub fn gzip<'a>(from: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, UnpackError> {
    Ok(Box::new(flate2::bufread::MultiGzDecoder::new(from)))
}

/// The same, without a frame around it.
///
/// # Errors
/// When this build has no decoder for it.
#[cfg(feature = "archives")]
pub fn deflate<'a>(from: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, UnpackError> {
    Ok(Box::new(flate2::bufread::DeflateDecoder::new(from)))
}

/// What is inside of Zstandard frames.
///
/// # Errors
/// When this build has no decoder for it.
#[cfg(feature = "archives")]
pub fn zstd<'a>(from: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, UnpackError> {
    Ok(Box::new(frames::Frames::new(from)))
}

/// None in this build.
///
/// # Errors
/// Always.
#[cfg(not(feature = "archives"))]
pub fn gzip<'a>(_: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, UnpackError> {
    Err(left_out("gzip"))
}

/// None in this build.
///
/// # Errors
/// Always.
#[cfg(not(feature = "archives"))]
pub fn deflate<'a>(_: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, UnpackError> {
    Err(left_out("deflate"))
}

/// None in this build.
///
/// # Errors
/// Always.
#[cfg(not(feature = "archives"))]
pub fn zstd<'a>(_: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, UnpackError> {
    Err(left_out("Zstandard"))
}

#[cfg(not(feature = "archives"))]
fn left_out(what: &str) -> UnpackError {
    let reason = format!("it is compressed with {what}, which this build of the fetcher cannot read");
    UnpackError::Unsupported { reason, hint: "build the fetcher with its feature `archives`" }
}

#[cfg(feature = "archives")]
mod frames {
    use std::io::{self, BufRead, Read};

    use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
    use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

    use crate::archive::{UnpackError, pass};
    use crate::limits::Limits;

    /// One frame after the other.
    pub(super) struct Frames<R> {
        from: R,
        decoder: FrameDecoder,
        under_way: bool,
    }

    impl<R: BufRead> Frames<R> {
        pub(super) fn new(from: R) -> Self {
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(Limits::DEFAULT.zstd_window);
            Self { from, decoder, under_way: false }
        }

        /// Begins the next frame; says whether there is one.
        fn begin(&mut self) -> io::Result<bool> {
            loop {
                if self.from.fill_buf()?.is_empty() {
                    return Ok(false);
                }
                match self.decoder.reset(&mut self.from) {
                    Ok(()) => return Ok(true),
                    Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                        length,
                        ..
                    })) => pass(&mut self.from, u64::from(length))?,
                    Err(error @ FrameDecoderError::WindowSizeTooBig { .. }) => {
                        let reason = error.to_string();
                        let hint =
                            "compress with a window of at most 8 MiB: `zstd -19` or less, without --long";
                        return Err(UnpackError::Unsupported { reason, hint }.into());
                    }
                    Err(error) => return Err(failed(&error)),
                }
            }
        }

        fn end(&mut self) -> io::Result<()> {
            self.under_way = false;
            match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
                (Some(expected), Some(got)) if expected != got => {
                    Err(UnpackError::Damaged("a Zstandard frame has another checksum".into()).into())
                }
                _ => Ok(()),
            }
        }
    }

    impl<R: BufRead> Read for Frames<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if buffer.is_empty() {
                return Ok(0);
            }
            loop {
                if !self.under_way && !self.begin()? {
                    return Ok(0);
                }
                self.under_way = true;
                while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    self.decoder.decode_blocks(&mut self.from, one).map_err(|error| failed(&error))?;
                }
                let read = self.decoder.read(buffer)?;
                if read > 0 {
                    return Ok(read);
                }
                self.end()?;
            }
        }
    }

    /// The decoder's own errors wrap what the stream below it says.
    fn failed(error: &FrameDecoderError) -> io::Error {
        let text = error.to_string();
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
        while let Some(at) = cause {
            if at.downcast_ref::<io::Error>().is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof) {
                return UnpackError::CutShort.into();
            }
            cause = at.source();
        }
        UnpackError::Damaged(text).into()
    }
}
