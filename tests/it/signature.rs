//! Signatures of OpenSSF Model Signing: what the official tool makes, and everything that can be wrong with it.
//!
//! The programs in `tests/data/signing` have the official tool sign a model in every form that it has, change every
//! field of what comes out, and have the tool judge each result. Here our verdict on the same files is compared with
//! what it must be, and with the tool's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use plimsoll_tests::{places, process, tools};
use serde::Deserialize;
use tempfile::TempDir;

use crate::fetcher::{Fetcher, Outcome, noise, sample_model, tree};

/// A signature, who is trusted, and what both verifiers say.
#[derive(Deserialize)]
pub struct Case {
    pub name: String,
    pub directory: PathBuf,
    pub signature: PathBuf,
    trust_key: Option<PathBuf>,
    trust_cert: Option<PathBuf>,
    trust_root: Option<PathBuf>,
    trust_identity: Option<String>,
    trust_issuer: Option<String>,
    /// What our refusal holds; nothing, if the signature is good.
    says: Option<String>,
    /// Our exit code.
    code: i32,
    /// Why the official tool refuses; nothing, if it accepts.
    official: Option<String>,
    /// Why our verdict is another than the tool's.
    differs: Option<String>,
}

impl Case {
    /// Who must have signed, if that is said by name.
    pub fn identity(&self) -> Option<String> {
        let (identity, issuer) = (self.trust_identity.as_ref()?, self.trust_issuer.as_ref()?);
        Some(format!("{identity} (issuer {issuer})"))
    }

    pub fn fetcher(&self) -> Fetcher {
        let file = |file: &Option<PathBuf>| file.as_ref().map(|file| file.to_str().unwrap().to_owned());
        let trusted = [
            ("FETCHER_TRUST_KEY", file(&self.trust_key)),
            ("FETCHER_TRUST_CERT", file(&self.trust_cert)),
            ("FETCHER_TRUST_ROOT", file(&self.trust_root)),
            ("FETCHER_TRUST_IDENTITY", self.trust_identity.clone()),
            ("FETCHER_TRUST_ISSUER", self.trust_issuer.clone()),
        ];
        let given = trusted.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Fetcher::new().with_all(&given.collect::<Vec<_>>())
    }
}

pub struct Verdict {
    pub case: Case,
    pub ours: Outcome,
}

pub struct World {
    /// Every case, verified once.
    pub verdicts: Vec<Verdict>,
    /// The model that most cases are about.
    model: TempDir,
    /// Keys, signatures and changed models.
    folder: TempDir,
}

impl World {
    pub fn file(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        assert!(path.exists(), "expected {name} to have been made");
        path.to_str().unwrap().to_owned()
    }

    /// A directory with the model and its signature, made by the first key.
    pub fn signed_model(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for (name, content) in tree(self.model.path()) {
            let path = copy.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::copy(self.file("signatures/p256 files sha256.sig"), copy.path().join("model.sig")).unwrap();
        copy
    }

    pub fn trusting(&self) -> Fetcher {
        Fetcher::new().with("FETCHER_TRUST_KEY", &self.file("keys/p256.pub"))
    }
}

/// Made once for all tests: starting Python costs more than most of them.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let (model, folder) = (sample_model(), tempfile::tempdir().unwrap());
        let mut make = tools::signing_python().command("python");
        process::run(make.arg(places::data("signing/make_vectors.py")).args([model.path(), folder.path()]));
        let cases = fs::read_to_string(folder.path().join("cases.json")).unwrap();
        let cases: Vec<Case> = serde_json::from_str(&cases).unwrap();
        let verify = |case: Case| {
            let (directory, signature) = (case.directory.to_str().unwrap(), case.signature.to_str().unwrap());
            let ours = case.fetcher().run(&["verify", directory, "--signature", signature]);
            Verdict { case, ours }
        };
        World { verdicts: cases.into_iter().map(verify).collect(), model, folder }
    })
}

fn verify(fetcher: &Fetcher, directory: &Path) -> Outcome {
    fetcher.run(&["verify", directory.to_str().unwrap()])
}

#[test]
fn whatever_the_official_tool_signs_is_accepted() {
    let by = |signer: &str| {
        let made = world().verdicts.iter().filter(|verdict| {
            let Case { name, .. } = &verdict.case;
            name.strip_prefix(signer).is_some_and(|form| form.split(' ').count() == 3)
        });
        made.map(|Verdict { case, ours }| {
            assert_eq!(ours.code, 0, "{}: {}", case.name, ours.stderr);
            assert_eq!(case.official, None, "{}", case.name);
            ours.stderr.clone()
        })
        .collect::<Vec<_>>()
    };
    for curve in ["p256", "p384", "p521"] {
        let by_key = by(curve);
        assert_eq!(by_key.len(), 6, "two methods and three hashes");
        assert!(by_key.iter().all(|line| line.contains("signed by key sha256:")), "{by_key:?}");
        // An empty file has no shard. Of BLAKE3 the tool makes whole files, whatever it is asked for.
        let all = by_key.iter().filter(|line| line.contains("6 files, 3.4 MiB"));
        assert_eq!(all.count(), 4, "{by_key:?}");
        let by_certificate = by(&format!("certificate {curve}"));
        assert_eq!(by_certificate.len(), 6, "two methods and three hashes");
        let signer = "verified on disk, signed by certificate CN=release team";
        assert!(by_certificate.iter().all(|line| line.contains(signer)), "{by_certificate:?}");
    }
}

#[test]
fn keyless_signatures_of_the_official_tool_are_accepted() {
    let made =
        world().verdicts.iter().filter(|verdict| verdict.case.name.starts_with("keyless: by the tool, "));
    let signers = made.map(|Verdict { case, ours }| {
        assert_eq!((ours.code, case.official.as_deref()), (0, None), "{}: {}", case.name, ours.stderr);
        let (_, signer) = ours.stderr.trim_end().split_once("signed by ").unwrap();
        assert_eq!(Some(signer), case.identity().as_deref());
        signer
    });
    let signers: Vec<_> = signers.collect();
    let workflows = signers.iter().filter(|signer| signer.starts_with("https://")).count();
    assert_eq!(
        (signers.len(), workflows),
        (4, 2),
        "a workflow and a person, in both versions of the log: {signers:?}"
    );
}

#[test]
fn everything_that_is_wrong_with_a_signature_is_refused_by_its_name() {
    let (mut refused, mut accepted) = (0, 0);
    for Verdict { case, ours } in &world().verdicts {
        assert_eq!(ours.code, case.code, "{}: {}", case.name, ours.stderr);
        assert!(!ours.stderr.contains('\u{1b}'), "{}: {}", case.name, ours.stderr);
        match &case.says {
            Some(words) => assert!(ours.stderr.contains(words), "{}: {}", case.name, ours.stderr),
            None => assert!(ours.stderr.contains("signed by "), "{}: {}", case.name, ours.stderr),
        }
        *if case.says.is_some() { &mut refused } else { &mut accepted } += 1;
    }
    assert!(refused > 400 && accepted > 60, "{refused} are refused, {accepted} accepted");
}

#[test]
fn whatever_the_official_tool_refuses_is_refused() {
    let mut wider = Vec::new();
    for Verdict { case, ours } in &world().verdicts {
        let same = (ours.code == 0) == case.official.is_none();
        let why = (&case.official, &case.differs);
        assert_eq!(same, case.differs.is_none(), "{}: {why:?}, and we say {}", case.name, ours.stderr);
        if ours.code == 0 && !same {
            wider.push(case.name.as_str());
        }
    }
    let expected = [
        "key: the second of two",
        "directory: the fetcher's own state",
        "chain: two authorities of the same name are trusted",
        "keyless: log: the copy of the entry's place, 2",
        "keyless: log: the copy of the tree's size, 2",
        "keyless: log: the copy of the root, 2",
    ];
    assert_eq!(wider, expected, "what is accepted here and refused by the tool");
}

#[test]
fn a_signature_is_found_in_the_directory_and_nothing_else_is_needed() {
    let (model, fetcher) = (world().signed_model(), world().trusting());
    let good = verify(&fetcher, model.path()).expect(0);
    let line =
        format!("{}: 6 files, 3.4 MiB, verified on disk, signed by key sha256:", model.path().display());
    assert!(good.stderr.contains(&line), "{}", good.stderr);
    fs::rename(model.path().join("model.sig"), model.path().join("other.sig")).unwrap();
    let named = ["verify", model.path().to_str().unwrap(), "--signature"];
    let signature = model.path().join("other.sig");
    fetcher.run(&[&named[..], &[signature.to_str().unwrap()]].concat()).expect(0);
}

#[test]
fn without_a_signature_a_model_is_refused_where_somebody_is_trusted() {
    let (model, fetcher) = (world().signed_model(), world().trusting());
    fs::remove_file(model.path().join("model.sig")).unwrap();
    let refused = verify(&fetcher, model.path()).expect(66);
    assert!(
        refused.stderr.contains("expected a signature at ")
            && refused.stderr.contains("model.sig, found none")
    );
    assert!(refused.stderr.contains("hint: sign the model"), "{}", refused.stderr);
    // Nothing at all is there either.
    verify(&fetcher, &model.path().join("nowhere")).expect(66);
    fs::create_dir(model.path().join("model.sig")).unwrap();
    verify(&fetcher, model.path()).expect(66);
}

#[test]
fn a_receipt_counts_beside_a_signature() {
    let (model, fetcher) = (world().signed_model(), world().trusting());
    // What was pulled, the signer left out of the signature.
    fs::write(model.path().join(".gitattributes"), "*.bin lfs").unwrap();
    let pulling = Fetcher::new();
    let uri = format!("file://{}", model.path().display());
    pulling.run(&["pull", "--uri", &uri]).expect(0);
    let place = pulling.model();
    let good = verify(&fetcher, &place).expect(0);
    assert!(
        good.stderr.contains("unversioned sha256:") && good.stderr.contains("signed by key"),
        "{}",
        good.stderr
    );
    fs::write(place.join(".gitattributes"), "*.bin git").unwrap();
    let refused = verify(&fetcher, &place).expect(65);
    assert!(refused.stderr.contains(".gitattributes is not what the receipt says"), "{}", refused.stderr);
    fs::remove_file(place.join(".gitattributes")).unwrap();
    let refused = verify(&fetcher, &place).expect(65);
    assert!(refused.stderr.contains("model file .gitattributes is missing"), "{}", refused.stderr);
    fs::write(place.join(".gitattributes"), "*.bin lfs").unwrap();
    // A file of both: size says it first.
    fs::write(place.join("config.json"), "[]\n").unwrap();
    let refused = verify(&fetcher, &place).expect(65);
    assert!(refused.stderr.contains("config.json is not what was signed"), "{}", refused.stderr);
    fs::write(place.join("config.json"), "{}\n").unwrap();
    verify(&fetcher, &place).expect(0);
    fs::write(pulling.layout().receipt(), "{").unwrap();
    verify(&fetcher, &place).expect(65);
}

#[test]
fn where_nobody_is_trusted_a_signature_is_a_file_like_any_other() {
    let (model, fetcher) = (world().signed_model(), Fetcher::new());
    fs::write(model.path().join("model.sig"), "no signature").unwrap();
    fetcher.run(&["pull", "--uri", &format!("file://{}", model.path().display())]).expect(0);
    verify(&fetcher, &fetcher.model()).expect(0);
    fs::write(fetcher.model().join("model.sig"), "no signature?").unwrap();
    verify(&fetcher, &fetcher.model()).expect(65);
}

#[test]
fn trust_that_cannot_be_had_is_a_bad_configuration() {
    let (model, world) = (world().signed_model(), world());
    for (name, file, words) in [
        ("FETCHER_TRUST_KEY", "/does/not/exist", "cannot read /does/not/exist"),
        ("FETCHER_TRUST_CERT", "/does/not/exist", "cannot read /does/not/exist"),
        (
            "FETCHER_TRUST_CERT",
            &world.file("keys/p256.pub"),
            "expected `BEGIN CERTIFICATE` in PEM, found none",
        ),
        ("FETCHER_TRUST_KEY", &world.file("keys/p256.key"), "it holds a private key"),
        ("FETCHER_TRUST_KEY", "", "--trust-key"),
        ("FETCHER_TRUST_ROOT", "/does/not/exist", "--trust-identity (FETCHER_TRUST_IDENTITY) is not set"),
        ("FETCHER_TRUST_IDENTITY", "a@b", "--trust-root (FETCHER_TRUST_ROOT) is not set"),
        ("FETCHER_TRUST_ISSUER", "https://a", "--trust-root (FETCHER_TRUST_ROOT) is not set"),
        ("FETCHER_TRUST_IDENTITY", "", "--trust-identity"),
    ] {
        let refused = verify(&Fetcher::new().with(name, file), model.path()).expect(64);
        assert!(refused.stderr.contains(words), "{name}={file}: {}", refused.stderr);
        assert!(!refused.stderr.contains("MIG"), "the content of a private key is shown: {}", refused.stderr);
    }
    let untrusted = ["verify", model.path().to_str().unwrap(), "--signature", "model.sig"];
    let refused = Fetcher::new().run(&untrusted).expect(64);
    assert!(refused.stderr.contains("--signature is given, and nobody is trusted"), "{}", refused.stderr);
}

#[test]
fn a_key_or_an_authority_will_do() {
    let world = world();
    let fetcher = world.trusting().with("FETCHER_TRUST_CERT", &world.file("keys/root.pem"));
    for signature in ["p256 files sha256", "certificate p521 shards blake2"] {
        let signature = world.file(&format!("signatures/{signature}.sig"));
        let model = world.model.path().to_str().unwrap();
        fetcher.run(&["verify", model, "--signature", &signature]).expect(0);
    }
}

#[test]
fn a_signature_of_any_size_is_refused_in_bounded_memory() {
    let (model, fetcher) = (world().signed_model(), world().trusting());
    File::create(model.path().join("model.sig")).unwrap().set_len(1 << 40).unwrap();
    let refused = verify(&fetcher, model.path()).expect(65);
    assert!(refused.stderr.contains("the signature is larger than 33554432 bytes"), "{}", refused.stderr);
    // One that is as large as it may be, and nothing but a number.
    fs::write(model.path().join("model.sig"), vec![b'1'; 32 * 1024 * 1024]).unwrap();
    verify(&fetcher, model.path()).expect(65);
    fs::write(model.path().join("model.sig"), noise(1_000_000)).unwrap();
    verify(&fetcher, model.path()).expect(65);
}
