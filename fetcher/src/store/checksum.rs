//! The checksums that stores keep of whole objects, as they say them in headers.
//!
//! S3 also has composite ones, over the checksums of the parts that an object was uploaded in. Those say nothing
//! about the bytes in their order, and are left aside. An ETag is no digest.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use reqwest::header::HeaderMap;

use crate::verify::content_digest::{Algorithm, ContentDigest, decode_hex};

/// Of S3 and its kin: one header per algorithm, in base64; the type tells whether it is over the whole object.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity.html>
const S3: [(&str, Algorithm); 5] = [
    ("x-amz-checksum-sha256", Algorithm::Sha256),
    ("x-amz-checksum-crc64nvme", Algorithm::Crc64Nvme),
    ("x-amz-checksum-sha1", Algorithm::Sha1),
    ("x-amz-checksum-crc32c", Algorithm::Crc32c),
    ("x-amz-checksum-crc32", Algorithm::Crc32),
];
const S3_TYPE: &str = "x-amz-checksum-type";
/// Of Google Cloud Storage: `crc32c=…,md5=…` in base64, in one header or several.
/// <https://cloud.google.com/storage/docs/xml-api/reference-headers#xgooghash>
const GOOGLE: &str = "x-goog-hash";
/// Of RFC 9530: `sha-256=:…:` in base64, over the whole file even where a range is sent.
const REPRESENTATION: &str = "repr-digest";
/// Of artifact repositories such as Artifactory and Nexus, in hexadecimal digits.
const REPOSITORY: [(&str, Algorithm); 3] = [
    ("x-checksum-sha256", Algorithm::Sha256),
    ("x-checksum-sha1", Algorithm::Sha1),
    ("x-checksum-md5", Algorithm::Md5),
];
/// Of Azure Blob Storage, in base64.
const MD5: &str = "content-md5";

/// The strongest checksum of the whole object that these headers hold. They must be those of an answer to a request
/// for the whole object.
pub(crate) fn of_whole_object(headers: &HeaderMap) -> Option<ContentDigest> {
    let value = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let is_composite = value(S3_TYPE).is_some_and(|kind| !kind.eq_ignore_ascii_case("FULL_OBJECT"));
    let s3 = S3.iter().filter(|_| !is_composite);
    let s3 = s3.filter_map(|(name, algorithm)| in_base64(*algorithm, value(name)?));
    let google = headers.get_all(GOOGLE).iter().filter_map(|value| value.to_str().ok());
    let google = google.flat_map(|value| value.split(',')).filter_map(|pair| {
        let (name, digest) = pair.trim().split_once('=')?;
        let algorithm = match name {
            "crc32c" => Algorithm::Crc32c,
            "md5" => Algorithm::Md5,
            _ => return None,
        };
        in_base64(algorithm, digest)
    });
    let representation = value(REPRESENTATION).into_iter().flat_map(|value| value.split(','));
    let representation = representation.filter_map(|pair| {
        let digest = pair.trim().strip_prefix("sha-256=:")?.strip_suffix(':')?;
        in_base64(Algorithm::Sha256, digest)
    });
    let repository = REPOSITORY
        .iter()
        .filter_map(|(name, algorithm)| ContentDigest::new(*algorithm, &decode_hex(value(name)?)?));
    let md5 = value(MD5).and_then(|digest| in_base64(Algorithm::Md5, digest));
    s3.chain(google).chain(representation).chain(repository).chain(md5).max_by_key(ContentDigest::algorithm)
}

/// A composite checksum is longer by a `-` and the number of parts, and is none here.
fn in_base64(algorithm: Algorithm, text: &str) -> Option<ContentDigest> {
    ContentDigest::new(algorithm, &BASE64_STANDARD.decode(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[(&'static str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        of_whole_object(&headers).map(|digest| digest.to_string())
    }

    #[test]
    fn the_strongest_checksum_of_the_whole_object_is_taken() {
        let crc64 = ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=");
        let crc32 = ("x-amz-checksum-crc32", "y/Q5Jg==");
        assert_eq!(read(&[crc32, crc64]).unwrap(), "crc64nvme:ae8b14860a799888");
        assert_eq!(read(&[crc64, ("x-amz-checksum-type", "FULL_OBJECT")]), read(&[crc64]));
        let google = [("x-goog-hash", "crc32c=4waSgw=="), ("x-goog-hash", "md5=kAFQmDzST7DWlj99KOF/cg==")];
        assert_eq!(read(&google).unwrap(), "crc32c:e3069283");
        assert_eq!(read(&[("x-goog-hash", "crc32c=4waSgw==,md5=kAFQmDzST7DWlj99KOF/cg==")]), read(&google));
        assert_eq!(read(&google[1..]).unwrap(), "md5:900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(read(&[("content-md5", "kAFQmDzST7DWlj99KOF/cg==")]), read(&google[1..]));
        let sha256 = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let representation = format!("sha-512=:AAAA:, sha-256=:{sha256}:");
        assert_eq!(read(&[("repr-digest", &representation), crc64]).unwrap(), abc);
        assert_eq!(read(&[("x-checksum-sha256", abc.trim_start_matches("sha256:"))]).unwrap(), abc);
    }

    #[test]
    fn what_is_not_over_the_whole_object_is_none() {
        let crc64 = ("x-amz-checksum-crc64nvme", "rosUhgp5mIg=");
        assert_eq!(read(&[("etag", "\"900150983cd24fb0d6963f7d28e17f72\"")]), None);
        assert_eq!(read(&[crc64, ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(read(&[("x-amz-checksum-crc32", "y/Q5Jg==-3")]), None);
        for odd in ["", "rosUhgp5mA==", "!", "rosUhgp5mIg"] {
            assert_eq!(read(&[("x-amz-checksum-crc64nvme", odd)]), None, "{odd}");
        }
    }
}
