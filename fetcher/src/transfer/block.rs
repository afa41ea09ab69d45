//! Bytes on their way from a connection to the disk and the hasher: the pieces as the network library gave them.
//!
//! They are gathered until one system call for all of them pays, written with `pwritev(2)` from where they are, and
//! hashed from there: after the kernel has handed them over they are not copied again.

use std::fs::File;
use std::io::{self, IoSlice};

use bytes::{Buf as _, Bytes};
use rustix::io::Errno;

/// Pieces in one block. The kernel takes 1024 at a time (`IOV_MAX`); many small pieces keep more memory alive
/// than they fill.
const MOST_PIECES: usize = 256;

/// Consecutive bytes of one file, in pieces.
#[derive(Debug, Default)]
pub(super) struct Block {
    pieces: Vec<Bytes>,
    length: usize,
}

impl Block {
    /// Adds the bytes that follow.
    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push(piece);
        }
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Whether it is time to write it.
    pub(super) fn is_full(&self, block_bytes: usize) -> bool {
        self.length >= block_bytes || self.pieces.len() >= MOST_PIECES
    }

    /// The bytes.
    pub(super) fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Drops `before` bytes at the front and everything after the next `length`.
    pub(super) fn keep(&mut self, before: usize, length: usize) {
        let (mut skip, mut room) = (before, length);
        self.pieces.retain_mut(|piece| {
            let skipped = skip.min(piece.len());
            piece.advance(skipped);
            skip -= skipped;
            piece.truncate(room);
            room -= piece.len();
            !piece.is_empty()
        });
        self.length = self.pieces.iter().map(Bytes::len).sum();
    }

    /// Writes it at `offset`.
    pub(super) fn write_at(&self, file: &File, mut offset: u64) -> io::Result<()> {
        let mut slices: Vec<_> = self.pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            let written = match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            IoSlice::advance_slices(&mut rest, written);
            offset += u64::try_from(written).unwrap_or(u64::MAX);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(pieces: &[&'static str]) -> Block {
        let mut block = Block::default();
        pieces.iter().for_each(|piece| block.push(Bytes::from_static(piece.as_bytes())));
        block
    }

    #[test]
    fn what_is_kept_is_what_lies_between() {
        let whole = "abcdefgh";
        for before in 0..=8 {
            for length in 0..=8 - before {
                let mut block = block(&["abc", "", "d", "efgh"]);
                assert_eq!(block.len(), 8);
                block.keep(before, length);
                assert_eq!(block.pieces().concat(), whole.as_bytes()[before..before + length]);
                assert_eq!((block.len(), block.is_empty()), (length, length == 0));
            }
        }
    }

    #[test]
    fn it_is_written_where_it_belongs() {
        let file = tempfile::tempfile().unwrap();
        block(&["tail"]).write_at(&file, 6).unwrap();
        block(&["he", "", "llo "]).write_at(&file, 0).unwrap();
        assert_eq!(io::read_to_string(&file).unwrap(), "hello tail");
    }

    #[test]
    fn it_is_full_by_bytes_or_by_pieces() {
        assert!(block(&["abcd"]).is_full(4) && !block(&["abc"]).is_full(4));
        assert!(block(&["a"; MOST_PIECES]).is_full(1_000_000));
    }
}
