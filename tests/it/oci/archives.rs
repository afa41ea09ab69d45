//! Archives of OCI artifacts, unpacked while they come in from the registry.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use handoff::Integrity;
use plimsoll_tests::oci_server::OciServer;
use plimsoll_tests::{process, tools};

use super::{IMAGE, push_kit};
use crate::fetcher::{Fetcher, tree};

type Files<'a> = [(&'a str, &'a str)];

/// An archive by GNU tar, compressed as its options say.
fn archive(files: &Files<'_>, options: &[&str]) -> Vec<u8> {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let mut tar = Command::new("tar");
    process::run(tar.args(options).arg("-cf").arg(out.path()).arg("-C").arg(folder.path()).arg("."));
    fs::read(out.path()).unwrap()
}

#[track_caller]
fn assert_pulled(server: &OciServer, reference: &str, expected: &Files<'_>) {
    let fetcher = Fetcher::new();
    let uri = format!("oci://{}/models/{reference}", server.host());
    let outcome = fetcher.run(&["pull", "--uri", &uri]).expect(0);
    let expected: BTreeMap<_, _> =
        expected.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect();
    assert_eq!(tree(&fetcher.model()), expected, "{}", outcome.stderr);
    let receipt = fetcher.receipt();
    assert_eq!(receipt.integrity, Integrity::Registry, "a layer's digest vouches for what is in it");
    let again = fetcher.run(&["pull", "--uri", &uri]).expect(0);
    assert!(again.last_words.ends_with("already in place"), "{}", again.last_words);
    fetcher.run(&["verify", fetcher.model().to_str().unwrap()]).expect(0);
}

#[test]
fn a_kit_is_unpacked_over_the_model_that_it_is_built_upon() {
    let server = OciServer::start();
    let kit = |reference: &str, path: &str, parts: &[(&'static str, &Files<'_>)]| {
        let part = |(part, files): &(&'static str, &Files<'_>)| (*part, archive(files, &["-z"]));
        push_kit(&server, reference, path, &parts.iter().map(part).collect::<Vec<_>>());
    };
    let weights: &Files<'_> = &[("weights/model.onnx", "weights")];
    kit("base:v1", "./weights", &[("model", weights), ("dataset", &[("data.csv", "1,2")])]);
    assert_pulled(&server, "base:v1", weights);
    let parts: [(&'static str, &Files<'_>); 2] =
        [("modelpart", &[("adapter/lora.bin", "lora")]), ("code", &[("serve.py", "pass")])];
    kit("tuned:v1", &format!("{}/models/base:v1", server.host()), &parts);
    let all = [("adapter/lora.bin", "lora"), ("serve.py", "pass"), ("weights/model.onnx", "weights")];
    assert_pulled(&server, "tuned:v1", &all);
}

#[test]
fn of_an_image_the_folder_models_is_the_model_layer_over_layer() {
    let zstd = tools::debian_package("zstd", "/usr/bin/zstd");
    let server = OciServer::start();
    let config = server.blob("car", IMAGE, b"{}");
    let layer = |kind: &str, options: &[&str], files: &Files<'_>| {
        let media_type = format!("application/vnd.oci.image.layer.v1.{kind}");
        server.blob("car", &media_type, &archive(files, options))
    };
    let layers = [
        layer("tar", &[], &[("models/a.bin", "one"), ("models/old/b.bin", "two"), ("etc/passwd", "root")]),
        layer("tar+gzip", &["-z"], &[("models/a.bin", "another"), ("models/.wh.old", ""), ("bin/sh", "sh")]),
        layer("tar+zstd", &["-I", zstd.to_str().unwrap()], &[("models/new/c.bin", "three")]),
    ];
    server.manifest("car:v1", &config, &layers);
    assert_pulled(&server, "car:v1", &[("a.bin", "another"), ("new/c.bin", "three")]);
}

#[test]
fn a_folder_that_oras_packed_comes_back_as_one() {
    let (server, folder) = (OciServer::start(), tempfile::tempdir().unwrap());
    let files = [("b", "b"), ("weights/a", "a"), ("weights/deep/c", "c")];
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    server.push(folder.path(), "folder:v1", &["weights", "b"]);
    assert_pulled(&server, "folder:v1", &files);
}

#[test]
fn a_layer_that_is_not_what_the_manifest_says_leaves_nothing() {
    let server = OciServer::start();
    let config = server.blob("car", IMAGE, b"{}");
    let content = archive(&[("models/a.bin", "one")], &[]);
    let layer = server.blob("car", "application/vnd.oci.image.layer.v1.tar", &content);
    server.manifest("car:v1", &config, &[layer]);
    let mut rotten = content.clone();
    let at = rotten.windows(3).position(|window| window == b"one").unwrap();
    rotten[at] = b'O';
    write_blob(&server.blob_file(handoff::Sha256Digest::of(&content)), &rotten);
    let fetcher = Fetcher::new();
    let uri = format!("oci://{}/models/car:v1", server.host());
    let failed = fetcher.run(&["pull", "--uri", &uri]).expect(65);
    let words = "checksum mismatch on layer-000001.tar: expected sha256 ";
    assert!(failed.last_words.contains(words), "{}", failed.last_words);
    assert!(tree(&fetcher.model()).is_empty() && !fetcher.has_receipt());
}

fn write_blob(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
}
