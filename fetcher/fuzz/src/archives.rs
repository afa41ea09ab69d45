//! Archives: a line with the format, and then the archive.

use std::io::{Cursor, Read};

use fetcher::archive::meter::{Counted, Metered};
use fetcher::archive::zip::directory::{Directory, Place, TAIL_BYTES};
use fetcher::archive::{Kind, Member, Sink, UnpackError, decode, tar, zip};
use fetcher::limits::Limits;

use crate::{first_line, hold};

/// Counts what comes out.
#[derive(Default)]
struct Seen {
    members: usize,
    bytes: u64,
}

impl Sink for Seen {
    fn member(&mut self, member: Member, content: &mut dyn Read) -> Result<(), UnpackError> {
        let read = std::io::copy(content, &mut std::io::sink()).map_err(UnpackError::reading)?;
        assert!(read <= member.size, "{read} bytes of {}", member.size);
        assert!(matches!(member.kind, Kind::File | Kind::Folder | Kind::Other(_)) || member.size == 0);
        self.members += 1;
        self.bytes += read;
        Ok(())
    }
}

/// A tar archive, plain or compressed, or a ZIP archive.
pub fn archive(data: &[u8]) {
    let (format, archive) = first_line(data);
    let mut seen = Seen::default();
    if let Err(error) = read(format, archive, &mut seen) {
        hold::error(&error);
    }
    let length = u64::try_from(archive.len()).expect("an input fits in memory");
    let limits = Limits::DEFAULT;
    assert!(seen.members <= limits.archive_members);
    assert!(
        seen.bytes <= length * limits.expansion + limits.expansion_free,
        "a bomb of {} bytes",
        seen.bytes
    );
}

fn read(format: &[u8], archive: &[u8], seen: &mut Seen) -> Result<(), UnpackError> {
    let counted = Counted::new(Cursor::new(archive));
    let taken = counted.taken();
    match format {
        b"gzip" => tar::read(&mut Metered::new(decode::gzip(counted)?, taken), seen),
        b"zstd" => tar::read(&mut Metered::new(decode::zstd(counted)?, taken), seen),
        b"zip" => {
            let size = u64::try_from(archive.len()).expect("an input fits in memory");
            let tail = usize::try_from(size.min(TAIL_BYTES)).expect("it is not larger");
            let place = Place::find(&archive[archive.len() - tail..], size)?;
            assert!(place.starts_at <= place.ends_at && place.ends_at <= size);
            let start = usize::try_from(place.starts_at).expect("it is inside");
            zip::read(Cursor::new(archive), &Directory::parse(archive[start..].to_vec(), place)?, seen)
        }
        _ => tar::read(&mut Cursor::new(archive), seen),
    }
}
