//! How fast SHA-256 is, by the number of streams that are hashed together on one core, and against `sha2`.
//!
//! `warm` hashes the same buffers again and again: what the core's units can do. `cold` goes through more
//! memory than its own caches hold: what a buffer costs that another core has just filled. Believe ratios
//! within one run; the clock of the machine and its neighbours move all figures together. Without the SHA
//! instructions, `update` and `together` are `sha2`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use fetcher::verify::lanes::{Job, Sha256, update_together};
use sha2::Digest as _;

/// What the sink gathers before it hashes.
const BUFFER_BYTES: usize = 512 * 1024;
/// Of each stream, when cold: several times what a core has as its own cache, with all streams together.
const COLD_BUFFERS: usize = 48;
const STREAMS: [usize; 5] = [1, 2, 3, 4, 8];

/// The buffers of some streams, one after the other and from the beginning again.
struct Buffers {
    streams: Vec<Vec<u8>>,
    next: usize,
}

impl Buffers {
    fn new(streams: usize, buffers: usize) -> Self {
        let stream = || std::iter::repeat_with(|| fastrand::u8(..)).take(buffers * BUFFER_BYTES).collect();
        Self { streams: std::iter::repeat_with(stream).take(streams).collect(), next: 0 }
    }

    fn advance(&mut self) -> impl Iterator<Item = &[u8]> {
        let at = self.next;
        self.next = (at + BUFFER_BYTES) % self.streams.first().map_or(1, Vec::len);
        self.streams.iter().map(move |bytes| &bytes[at..at + BUFFER_BYTES])
    }
}

fn run(bencher: Bencher<'_, '_>, streams: usize, buffers: usize, mut hash: impl FnMut(&mut Buffers)) {
    let mut buffers = Buffers::new(streams, buffers);
    bencher.counter(BytesCount::new(streams * BUFFER_BYTES)).bench_local(|| hash(black_box(&mut buffers)));
}

fn through_sha2(bencher: Bencher<'_, '_>, buffers: usize) {
    let mut hash = sha2::Sha256::new();
    run(bencher, 1, buffers, |buffers| buffers.advance().for_each(|bytes| hash.update(bytes)));
}

fn alone(bencher: Bencher<'_, '_>, buffers: usize) {
    let mut hash = Sha256::new();
    run(bencher, 1, buffers, |buffers| buffers.advance().for_each(|bytes| hash.update(bytes)));
}

fn together(bencher: Bencher<'_, '_>, streams: usize, buffers: usize) {
    let mut hashes = vec![Sha256::new(); streams];
    run(bencher, streams, buffers, |buffers| {
        let mut jobs: Vec<Job<'_>> = hashes.iter_mut().zip(buffers.advance()).collect();
        update_together(&mut jobs);
    });
}

#[divan::bench_group(sample_count = 200, sample_size = 2)]
mod warm {
    use super::{Bencher, STREAMS};

    #[divan::bench]
    fn a_sha2(bencher: Bencher<'_, '_>) {
        super::through_sha2(bencher, 1);
    }

    #[divan::bench]
    fn b_update(bencher: Bencher<'_, '_>) {
        super::alone(bencher, 1);
    }

    #[divan::bench(args = STREAMS)]
    fn c_together(bencher: Bencher<'_, '_>, streams: usize) {
        super::together(bencher, streams, 1);
    }
}

#[divan::bench_group(sample_count = 200, sample_size = 2)]
mod cold {
    use super::{Bencher, COLD_BUFFERS, STREAMS};

    #[divan::bench]
    fn a_sha2(bencher: Bencher<'_, '_>) {
        super::through_sha2(bencher, COLD_BUFFERS);
    }

    #[divan::bench]
    fn b_update(bencher: Bencher<'_, '_>) {
        super::alone(bencher, COLD_BUFFERS);
    }

    #[divan::bench(args = STREAMS)]
    fn c_together(bencher: Bencher<'_, '_>, streams: usize) {
        super::together(bencher, streams, COLD_BUFFERS);
    }
}

fn main() {
    divan::main();
}
