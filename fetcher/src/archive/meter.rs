//! How much an archive may become.
//!
//! A few kilobytes can unpack to terabytes. What comes out of a decoder is counted against what went in: beyond an
//! allowance that any archive has, a byte of it may become a hundred. Weights hardly compress at all and text about
//! tenfold, so what passes that bound is no model, and is ended long before it fills the disk.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use super::UnpackError;
use crate::limits::Limits;

/// Bytes that a decoder has taken so far, shared with who looks at what it gave.
#[derive(Clone, Debug, Default)]
pub struct Taken(Rc<Cell<u64>>);

/// Counts the bytes that go into a decoder.
#[derive(Debug)]
pub struct Counted<R> {
    inner: R,
    taken: Taken,
}

impl<R> Counted<R> {
    /// Counts from here on.
    pub fn new(inner: R) -> Self {
        Self { inner, taken: Taken::default() }
    }

    /// Where the count is.
    pub fn taken(&self) -> Taken {
        self.taken.clone()
    }

    /// What it is now.
    pub fn position(&self) -> u64 {
        self.taken.0.get()
    }
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.taken.0.set(self.taken.0.get().saturating_add(bytes(read)));
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.taken.0.set(self.taken.0.get().saturating_add(bytes(amount)));
        self.inner.consume(amount);
    }
}

/// Holds what comes out of a decoder to what went in.
#[derive(Debug)]
pub struct Metered<R> {
    inner: R,
    taken: Taken,
    given: u64,
}

impl<R> Metered<R> {
    /// Holds `inner`, which takes what `taken` counts.
    pub fn new(inner: R, taken: Taken) -> Self {
        Self { inner, taken, given: 0 }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.given = self.given.saturating_add(bytes(read));
        let limits = Limits::DEFAULT;
        let most = self.taken.0.get().saturating_mul(limits.expansion).saturating_add(limits.expansion_free);
        if self.given > most {
            let problem = format!(
                "{} bytes of it became more than {} times as many, which no model does",
                self.taken.0.get(),
                limits.expansion
            );
            let hint = "publish the files as they are, without compression";
            return Err(UnpackError::Excessive(problem, hint).into());
        }
        Ok(read)
    }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
