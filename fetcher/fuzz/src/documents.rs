//! Documents that describe a model: `model.yaml`, an alias, `SHA256SUMS`.

use fetcher::catalog::Descriptor;
use fetcher::fuzzing;
use fetcher::manifest::parse_sha256sums;
use fetcher::name::{ModelName, VersionName};
use fetcher::uri::StoreUri;
use handoff::{ModelDigest, SafePath};

use crate::{first_line, hold};

/// `model.yaml`, of a model and version that the first line names, or of `m` and `v`; also as an alias.
pub fn descriptor(data: &[u8]) {
    match fuzzing::alias(data) {
        Ok(version) => hold::again(&version),
        Err(reason) => hold::message(reason),
    }
    let (name, version): (ModelName, VersionName) = ("m".parse().unwrap(), "v".parse().unwrap());
    let descriptor = match Descriptor::parse(data, &name, &version) {
        Ok(descriptor) => descriptor,
        Err(reason) => return hold::message(reason),
    };
    assert_eq!((descriptor.name.as_str(), descriptor.version.as_str()), ("m", "v"));
    let files = descriptor.files.iter().map(|file| (&file.path, file.sha256));
    assert_eq!(descriptor.digest, ModelDigest::of(files));
    let yaml = descriptor.to_yaml().expect("what was read can be written");
    let again = Descriptor::parse(yaml.as_bytes(), &name, &version);
    // A number that is none is not even the same as itself.
    if descriptor.metrics.values().all(|value| !value.is_nan()) {
        assert_eq!(again.as_ref(), Ok(&descriptor), "{yaml}");
    }
    let remote: StoreUri = "s3://bucket/models".parse().unwrap();
    for file in descriptor.files {
        match fuzzing::described(file, &remote) {
            Ok(file) => {
                hold::manifest_file(&file);
                assert!(!matches!(file.uri, Some(StoreUri::File(_))), "a bucket had a local file read");
            }
            Err(reason) => hold::message(reason),
        }
    }
}

/// `SHA256SUMS`, where the first line says.
pub fn sha256sums(data: &[u8]) {
    let (at, text) = first_line(data);
    let Some(at) = std::str::from_utf8(at).ok().and_then(|at| at.parse::<SafePath>().ok()) else { return };
    let files = match parse_sha256sums(text, &at) {
        Ok(files) => files,
        Err(reason) => return hold::message(reason),
    };
    let folder = at.as_str().rfind('/').map_or("", |end| &at.as_str()[..=end]);
    let lines = text.split(|byte| *byte == b'\n').count();
    assert!(files.len() <= lines);
    let mut printed = String::new();
    for file in &files {
        hold::manifest_file(file);
        let name = file.path.as_str().strip_prefix(folder).expect("a file in the folder of its sums");
        let [digest] = file.digests.as_slice() else { panic!("one digest for each") };
        let sha256 = digest.digest.sha256().expect("a SHA-256");
        printed += &format!("{sha256}  {name}\n");
    }
    assert_eq!(parse_sha256sums(printed.as_bytes(), &at), Ok(files), "{printed}");
}
