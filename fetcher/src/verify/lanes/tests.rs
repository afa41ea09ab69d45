use proptest::prelude::*;
use sha2::Digest as _;

use super::*;

/// Through `sha2`, and through the instructions if this CPU has them.
fn ways() -> impl Iterator<Item = Option<Instructions>> {
    std::iter::once(None).chain(Instructions::detect().map(Some))
}

fn reference(bytes: &[u8]) -> [u8; 32] {
    sha2::Sha256::digest(bytes).into()
}

/// Other bytes for each seed.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

fn hex(digest: [u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn known_digests() {
    for instructions in ways() {
        let digest = |parts: &[&[u8]]| {
            let mut hash = Sha256::new();
            parts.iter().for_each(|part| hash.update_with(instructions, part));
            hex(hash.finish())
        };
        assert_eq!(digest(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest(&[b"abc"]), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let thousand = [b'a'; 1000];
        assert_eq!(
            digest(&[&thousand[..]; 1000]),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        );
    }
}

#[test]
fn every_length_in_every_chunking() {
    let content = bytes(300, 1);
    for length in 0..=content.len() {
        let (content, expected) = (&content[..length], reference(&content[..length]));
        for instructions in ways() {
            for chunk in [1, 3, 55, 56, 63, 64, 65, 127, 128, 300] {
                let mut hash = Sha256::new();
                content.chunks(chunk).for_each(|part| hash.update_with(instructions, part));
                assert_eq!(hash.length(), u64::try_from(length).unwrap());
                assert_eq!(hash.finish(), expected, "{length} bytes by {chunk}");
            }
        }
    }
}

#[test]
fn every_number_of_streams_of_like_and_unlike_lengths() {
    for (instructions, streams) in ways().flat_map(|way| (0..10).map(move |streams| (way, streams))) {
        for shorter in [0, 1, 100, 1000] {
            let contents: Vec<_> =
                (0..streams).map(|at| bytes(10_000 - at * shorter, u64::try_from(at).unwrap())).collect();
            let mut hashes = vec![Sha256::new(); streams];
            let mut jobs: Vec<Job<'_>> = hashes.iter_mut().zip(contents.iter().map(Vec::as_slice)).collect();
            update_together_with(instructions, &mut jobs);
            assert!(jobs.iter().all(|(_, rest)| rest.is_empty()));
            for (hash, content) in hashes.into_iter().zip(&contents) {
                assert_eq!(hash.finish(), reference(content));
            }
        }
    }
}

#[test]
fn the_public_face_agrees() {
    let contents = [bytes(1000, 1), bytes(64, 2)];
    let mut hashes = [Sha256::default(), Sha256::default()];
    hashes[0].update(&contents[0][..10]);
    let [first, second] = &mut hashes;
    update_together(&mut [(first, &contents[0][10..]), (second, &contents[1])]);
    assert_eq!(hashes.map(Sha256::finish), contents.each_ref().map(|content| reference(content)));
}

proptest! {
    /// Each stream is fed in several calls, a piece of random length in each, as the others are.
    #[test]
    fn any_streams_in_any_pieces(
        lengths in prop::collection::vec(prop::collection::vec(0_usize..700, 0..5), 0..9),
        seed: u32,
    ) {
        let contents: Vec<_> = lengths.iter().zip(u64::from(seed)..).map(|(pieces, seed)| bytes(pieces.iter().sum(), seed)).collect();
        for instructions in ways() {
            let mut hashes = vec![Sha256::new(); lengths.len()];
            let mut rests: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
            for call in 0..5 {
                let mut jobs = Vec::new();
                for ((hash, rest), pieces) in hashes.iter_mut().zip(&mut rests).zip(&lengths) {
                    let piece = rest.split_off(..pieces.get(call).copied().unwrap_or(0)).unwrap();
                    jobs.push((hash, piece));
                }
                update_together_with(instructions, &mut jobs);
            }
            for (hash, content) in hashes.into_iter().zip(&contents) {
                prop_assert_eq!(hash.length(), u64::try_from(content.len()).unwrap());
                prop_assert_eq!(hash.finish(), reference(content));
            }
        }
    }
}
