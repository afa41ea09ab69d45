//! SHA-256 of several streams at once, interleaved on one core.
//!
//! Hashing is the largest cost of a fetch after the kernel's, and one SHA-256 cannot use all that a core has:
//! each of its rounds waits for the one before. The rounds of another stream do not, and fit into the wait.
//! So [`update_together`] takes the next bytes of several files and advances up to [`LANES`] of them in step,
//! with the SHA instructions of x86-64. Where those are missing, blocks go to the compression function of
//! `sha2`, which knows the instructions of other architectures. Padding and the partial block are done here.
//!
//! Measured with `cargo bench -p fetcher --bench hash` on an Intel server CPU, as a ratio to one stream
//! through `sha2`: two streams 1.36, three 1.37, when the buffers are in the core's own cache. That is all
//! that its unit has to give: it starts a `sha256rnds2` every three cycles and has the result after four.
//! When the buffers come from farther away, fetching them ahead counts too: one stream 1.5, two or three 2.0.
//!
//! Constants and padding are those of FIPS 180-4.

use std::cmp::Reverse;
use std::mem;

use sha2::block_api::compress256;

#[cfg(target_arch = "x86_64")]
mod x86;
#[cfg(target_arch = "x86_64")]
use x86::Instructions;

/// The most streams that advance in step. A CPU has the result of a `sha256rnds2` after four cycles and
/// starts one every two or three, so three streams leave no gap; a fourth would only take their registers.
pub const LANES: usize = 3;

const BLOCK_BYTES: usize = 64;
/// Where in the last block the length of the message begins.
const LENGTH_AT: usize = BLOCK_BYTES - size_of::<u64>();

type Block = [u8; BLOCK_BYTES];
/// The eight words of a hash value, a to h.
type State = [u32; 8];
/// One stream: its hash up to here, and the bytes that come next.
pub type Job<'a> = (&'a mut Sha256, &'a [u8]);

/// FIPS 180-4, section 5.3.3: of the square roots of the first 8 primes, the first 32 bits of the fraction.
const INITIAL: State =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A SHA-256 under way.
#[derive(Clone, Debug)]
pub struct Sha256 {
    state: State,
    length: u64,
    /// Its first `filled` bytes, never all of them between two calls, wait for the rest of their block.
    partial: Block,
    filled: usize,
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    /// The hash of nothing yet.
    pub fn new() -> Self {
        Self { state: INITIAL, length: 0, partial: [0; BLOCK_BYTES], filled: 0 }
    }

    /// How many bytes it was fed.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.update_with(instructions(), bytes);
    }

    fn update_with(&mut self, instructions: Option<Instructions>, bytes: &[u8]) {
        let (blocks, tail) = self.complete_partial(bytes).as_chunks();
        match instructions {
            Some(instructions) => instructions.compress([(&mut self.state, blocks)]),
            None => compress256(&mut self.state, blocks),
        }
        self.keep(tail);
    }

    /// The digest of all that it was fed.
    pub fn finish(mut self) -> [u8; 32] {
        let bits = self.length.wrapping_mul(8);
        self.keep(&[0x80]);
        if self.filled > LENGTH_AT {
            self.zero_to(BLOCK_BYTES);
        }
        self.zero_to(LENGTH_AT);
        self.keep(&bits.to_be_bytes());
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }

    /// Counts the bytes and completes the partial block with the first of them. What it returns begins a
    /// block, or is empty.
    fn complete_partial<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        self.length = self.length.wrapping_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.filled == 0 {
            return bytes;
        }
        let (head, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.filled));
        self.keep(head);
        rest
    }

    /// Puts bytes into the partial block, which has room for them.
    fn keep(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        self.partial[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
        if end == BLOCK_BYTES {
            compress256(&mut self.state, &[self.partial]);
            self.filled = 0;
        }
    }

    /// Fills the partial block with zeros up to there.
    fn zero_to(&mut self, end: usize) {
        self.keep(&[0; BLOCK_BYTES][self.filled..end]);
    }
}

/// Advances each hash by its own bytes, of whatever lengths. Afterwards no job has bytes left, and the jobs
/// may be in another order.
///
/// Streams with about as many bytes gain most: what the longest has in excess is hashed alone.
pub fn update_together(jobs: &mut [Job<'_>]) {
    update_together_with(instructions(), jobs);
}

fn update_together_with(instructions: Option<Instructions>, jobs: &mut [Job<'_>]) {
    match instructions {
        Some(instructions) => interleave(instructions, jobs),
        None => jobs.iter_mut().for_each(|(hash, bytes)| hash.update_with(None, mem::take(bytes))),
    }
}

fn interleave(instructions: Instructions, jobs: &mut [Job<'_>]) {
    for (hash, bytes) in &mut *jobs {
        *bytes = hash.complete_partial(bytes);
    }
    loop {
        // The longest go first, so that those which go together are of like length.
        jobs.sort_unstable_by_key(|(_, bytes)| Reverse(bytes.len()));
        match jobs.iter().take_while(|(_, bytes)| bytes.len() >= BLOCK_BYTES).count() {
            0 => break,
            1 => advance::<1>(instructions, jobs),
            // Two and two, since three would leave one alone.
            2 | 4 => advance::<2>(instructions, jobs),
            _ => advance::<LANES>(instructions, jobs),
        }
    }
    for (hash, bytes) in jobs {
        hash.keep(mem::take(bytes));
    }
}

/// Advances the first `N` jobs by as many blocks as each of them has.
fn advance<const N: usize>(instructions: Instructions, jobs: &mut [Job<'_>]) {
    let Some(jobs) = jobs.first_chunk_mut::<N>() else { return };
    let count = jobs.iter().map(|(_, bytes)| bytes.len() / BLOCK_BYTES).min().unwrap_or(0);
    instructions.compress(jobs.each_mut().map(|(hash, bytes)| {
        let (head, rest) = bytes.split_at(count * BLOCK_BYTES);
        *bytes = rest;
        (&mut hash.state, head.as_chunks().0)
    }));
}

/// What this CPU has. In a debug build each instruction is a call of a function, and `sha2`, which the
/// workspace optimises even then, is a hundred times as fast. The tests of this module use the instructions
/// all the same.
fn instructions() -> Option<Instructions> {
    if cfg!(debug_assertions) { None } else { Instructions::detect() }
}

/// Instructions that no CPU has.
#[cfg(not(target_arch = "x86_64"))]
#[derive(Clone, Copy)]
enum Instructions {}

#[cfg(not(target_arch = "x86_64"))]
impl Instructions {
    fn detect() -> Option<Self> {
        None
    }

    fn compress<const N: usize>(self, _: [(&mut State, &[Block]); N]) {
        match self {}
    }
}

#[cfg(test)]
mod tests;
