use serde_json::{Value, json};

use super::*;

fn layer(media_type: &str, annotations: Value) -> Value {
    let digest = format!("sha256:{}", handoff::Sha256Digest::of(media_type.as_bytes()));
    let mut layer = json!({"mediaType": media_type, "size": 7, "digest": digest});
    layer["annotations"] = annotations;
    layer
}

fn manifest(config: &str, layers: &[Value]) -> Document {
    let text = json!({"config": layer(config, Value::Null), "layers": layers});
    Document::parse(text.to_string().as_bytes()).unwrap()
}

/// The files, an archive with how it is written and what of it counts.
fn files(config: &str, layers: &[Value], is_parent: bool) -> Result<Vec<String>, String> {
    let (document, mut files) = (manifest(config, layers), Files::default());
    let repository = "oci://host/a:v1".parse::<crate::uri::oci::OciUri>().unwrap().repository;
    files.add(&document, Kind::of(&document, None)?, &repository, is_parent)?;
    let show = |file: &ManifestFile| match &file.unpack {
        None => file.path.to_string(),
        Some(Unpack { format, below }) => {
            format!("{} {format:?} {}", file.path, below.as_ref().map_or("", SafePath::as_str))
        }
    };
    assert!(
        files.files.iter().all(|file| file.size == Some(7) && file.digests.len() == 1 && file.uri.is_some())
    );
    Ok(files.files.iter().map(show).collect())
}

#[test]
fn a_model_pack_has_files_and_archives() {
    for namespace in ["cncf", "cnai"] {
        let kind = |rest: &str| format!("application/vnd.{namespace}.model.{rest}");
        let path = |path: &str| json!({format!("org.{namespace}.model.filepath"): path});
        let layers = [
            layer(&kind("weight.v1.raw"), path("a/model.safetensors")),
            layer(&kind("weight.config.v1.tar"), path("ignored")),
            layer(&kind("code.v1.tar+gzip"), Value::Null),
            layer(&kind("doc.v1.tar+zstd"), Value::Null),
            layer(&kind("dataset.v1.raw"), path("data.csv")),
        ];
        assert_eq!(
            files(&kind("config.v1+json"), &layers, false).unwrap(),
            [
                "a/model.safetensors",
                "layer-000001.tar Tar ",
                "layer-000002.tar.gz TarGzip ",
                "layer-000003.tar.zst TarZstd "
            ]
        );
        for (bad, word) in [
            (layer(&kind("weight.v1.raw"), path("../x")), "unsafe path"),
            (layer(&kind("weight.v1.raw"), path("/etc/x")), "it is absolute"),
            (layer(&kind("weight.v1.raw"), Value::Null), "no annotation"),
            (layer(&kind("weight.v1.tar+lz4"), Value::Null), "weight.v1.tar+lz4"),
            (layer("application/octet-stream", Value::Null), "not understood"),
        ] {
            let error = files(&kind("config.v1+json"), &[bad], false).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }
}

#[test]
fn a_kit_is_archives_and_what_it_is_built_upon_gives_its_model_alone() {
    let kind = |part: &str| layer(&format!("application/vnd.kitops.modelkit.{part}"), Value::Null);
    let layers =
        [kind("model.v1.tar+gzip"), kind("modelpart.v1.tar"), kind("dataset.v1.tar"), kind("docs.v1.tar")];
    let model = ["layer-000001.tar.gz TarGzip ", "layer-000002.tar Tar "];
    assert_eq!(files(KITFILE, &layers, true).unwrap(), model);
    assert_eq!(files(KITFILE, &layers, false).unwrap(), [&model[..], &["layer-000003.tar Tar "]].concat());
    assert!(files(KITFILE, &[kind("mcpb.v1.raw")], false).unwrap_err().contains("mcpb.v1.raw"));
}

#[test]
fn an_image_is_layers_over_each_other() {
    let layers = [
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
    ]
    .map(|kind| layer(kind, Value::Null));
    for config in IMAGES {
        assert_eq!(
            files(config, &layers, false).unwrap(),
            [
                "layer-000001.tar Tar models",
                "layer-000002.tar.gz TarGzip models",
                "layer-000003.tar.zst TarZstd models"
            ]
        );
    }
    let foreign = layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Value::Null);
    assert!(files(IMAGES[0], &[foreign], false).unwrap_err().contains("foreign"));
}

#[test]
fn layers_with_titles_are_files_and_folders() {
    let layers = [
        layer("text/plain", json!({TITLE: "./a/b.txt"})),
        layer("application/vnd.oci.image.layer.v1.tar+gzip", json!({TITLE: "folder", UNPACK: "true"})),
        layer("text/x", json!({"other": "x"})),
    ];
    let expected = ["a/b.txt", "layer-000001.tar.gz TarGzip "];
    assert_eq!(files("application/vnd.oci.empty.v1+json", &layers, false).unwrap(), expected);
}

#[test]
fn another_kind_is_named() {
    let error = files("application/vnd.cncf.helm.config.v1+json", &[], false).unwrap_err();
    assert!(error.ends_with("got application/vnd.cncf.helm.config.v1+json"), "{error}");
    let nothing = Document::parse(b"{}").unwrap();
    assert!(Kind::of(&nothing, Some("text/plain")).unwrap_err().ends_with("got text/plain"));
}

#[test]
fn a_digest_of_another_kind_vouches_for_nothing() {
    let mut bad = layer("text/plain", json!({TITLE: "a"}));
    bad["digest"] = "sha512:00".into();
    assert!(files("x", &[bad], false).unwrap_err().contains("expected a digest by sha256"));
}
