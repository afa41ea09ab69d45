//! Sizes, durations, digests and rungs, as people and registries write them.

use fetcher::verify::content_digest::ContentDigest;
use handoff::ByteSize;
use handoff::{Integrity, ModelDigest, Sha256Digest, duration};

use crate::hold;

/// Reads the text as each of them.
pub fn quantities(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<ByteSize>() {
        Ok(size) => {
            hold::message(size);
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            let number: u128 = digits.parse().expect("a size begins with a number");
            assert!(number <= u128::from(size.0), "{text}");
            assert_eq!(format!("{}", size.0).parse::<ByteSize>(), Ok(size));
        }
        Err(reason) => hold::message(reason),
    }
    if let Some(read) = duration::parse(text) {
        assert!(read <= duration::LONGEST);
        assert_eq!(duration::parse(&format!("{}ms", read.as_millis())), Some(read));
        let printed = duration::print(read).replace(' ', "");
        assert_eq!(duration::parse(&printed), Some(read));
    }
    match text.parse::<Sha256Digest>() {
        Ok(digest) => {
            hold::again(&digest);
            assert_eq!(digest.to_string(), text.to_ascii_lowercase());
        }
        Err(error) => hold::error(&error),
    }
    match text.parse::<ModelDigest>() {
        Ok(digest) => hold::again(&digest),
        Err(error) => hold::error(&error),
    }
    match text.parse::<ContentDigest>() {
        Ok(digest) => {
            hold::again(&digest);
            assert_eq!(digest.as_bytes().len(), digest.algorithm().bytes());
        }
        Err(reason) => hold::message(reason),
    }
    match text.parse::<Integrity>() {
        Ok(rung) => hold::again(&rung),
        Err(reason) => hold::message(reason),
    }
}
