//! Runs the fetcher as a user does, and looks at a model directory as a user would.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use handoff::{Layout, Receipt};
pub use plimsoll_tests::noise::noise;
use plimsoll_tests::{binaries, process, skip};
use tempfile::TempDir;

/// How a run of the fetcher ended.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// The termination log: one line, as it is.
    pub last_words: String,
}

/// A fetcher with a model directory of its own, and nothing of the surrounding environment.
pub struct Fetcher {
    root: PathBuf,
    _folder: Option<TempDir>,
    environment: Vec<(String, String)>,
    termination_log: PathBuf,
}

impl Fetcher {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::at(folder.path().to_owned(), Some(folder))
    }

    /// With its model directory on a volume that there is, and stays.
    pub fn on(volume: &Path) -> Self {
        Self::at(volume.to_owned(), None)
    }

    fn at(root: PathBuf, folder: Option<TempDir>) -> Self {
        let termination_log = root.join("termination-log");
        Self { root, _folder: folder, environment: Vec::new(), termination_log }
    }

    /// With its last words elsewhere than on the volume.
    pub fn last_words_in(self, file: &Path) -> Self {
        Self { termination_log: file.to_owned(), ..self }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_all(mut self, variables: &[(String, String)]) -> Self {
        self.environment.extend_from_slice(variables);
        self
    }

    /// The model directory.
    pub fn model(&self) -> PathBuf {
        self.root.join("model")
    }

    pub fn layout(&self) -> Layout {
        Layout::new(self.model(), None)
    }

    pub fn receipt(&self) -> Receipt {
        Receipt::read(&self.layout().receipt()).unwrap()
    }

    pub fn has_receipt(&self) -> bool {
        self.layout().receipt().exists()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binaries::fetcher());
        command.args(arguments).env_clear().envs(self.environment.iter().cloned());
        command.env("MODEL_DIR", self.model());
        command.env("FETCHER_TERMINATION_LOG", self.termination_log());
        command
    }

    pub fn termination_log(&self) -> PathBuf {
        self.termination_log.clone()
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        let _ = fs::remove_file(self.termination_log());
        self.outcome(&process::output(&mut self.command(arguments)))
    }

    pub fn outcome(&self, output: &std::process::Output) -> Outcome {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let last_words = fs::read_to_string(self.termination_log()).unwrap_or_default();
        assert!(last_words.len() <= 512 && !last_words.contains('\n'), "{last_words}");
        Outcome {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
            last_words,
        }
    }

    /// Runs in a mount namespace of its own, where `mount` has mounted what these values say; nothing where that is left
    /// out.
    pub fn run_mounted(
        &self,
        what: &str,
        mount: &str,
        values: [&str; 2],
        arguments: &[&str],
    ) -> Option<Outcome> {
        if skip::asked("mount", &format!("{what} (needs a mount namespace)")) {
            return None;
        }
        let script = format!("{mount} || exit 199; shift 2; exec \"$@\"");
        let inner = self.command(arguments);
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]).args(values);
        command.arg(inner.get_program()).args(inner.get_args()).env_clear();
        for (name, value) in inner.get_envs() {
            command.env(name, value.unwrap());
        }
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        let outcome = self.outcome(&process::output(&mut command));
        assert!(
            outcome.code != 199 && outcome.code != 1,
            "cannot mount in a namespace: allow unprivileged user namespaces, or set PLIMSOLL_SKIP=mount\n{}",
            outcome.stderr
        );
        Some(outcome)
    }

    /// Pulls a model that is named in a registry.
    pub fn pull(&self, registry: &str, name: &str, version: &str) -> Outcome {
        self.run(&["pull", "--registry", registry, "--model-name", name, "--model-version", version])
    }

    /// Publishes a directory as a version.
    pub fn publish(&self, directory: &Path, registry: &str, version: &str, more: &[&str]) -> Outcome {
        let directory = directory.to_str().unwrap();
        let named = ["--registry", registry, "--model-name", "a", "--model-version", version];
        self.run(&[&["publish", directory][..], &named, more].concat())
    }
}

impl Outcome {
    /// Fails the test unless the run ended so.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}", self.stderr);
        self
    }
}

/// The content of every file below a directory, but for the fetcher's own state.
pub fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                if name != ".plimsoll" {
                    folders.push(path);
                }
            } else {
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// A model with what makes trees hard: nested folders, empty files, spaces, letters beyond ASCII, and one file
/// that is larger than any buffer.
pub fn sample_model() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, Vec<u8>); 6] = [
        ("model.safetensors", noise(3_500_000)),
        ("config.json", b"{}\n".to_vec()),
        ("code/__init__.py", Vec::new()),
        ("a folder/with spaces/and a file.txt", b"text".to_vec()),
        ("größe/模型 1.bin", noise(70_000)),
        ("deep/er/and/deeper/still.bin", noise(1)),
    ];
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// The model digest of a directory as coreutils compute it.
pub fn digest_by_coreutils(directory: &Path) -> String {
    let script = "find . -type f -not -path './.plimsoll/*' -printf '%P\\0' | LC_ALL=C sort -z \
                  | xargs -0 sha256sum -- | sha256sum | cut -d' ' -f1";
    let digest = process::run(Command::new("sh").args(["-c", script]).current_dir(directory));
    format!("sha256:{}", digest.trim())
}
