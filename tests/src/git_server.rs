//! A Git repository behind a web server: Git's own program over HTTP, and a server for its large files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::{Server, free_port};
use crate::{http, process, tools};

/// Who is let into a private repository.
pub const USER: (&str, &str) = ("reader", "open-sesame");
/// The path of the repository.
const PATH: &str = "/api/model.git";

/// A running server with the one repository `model.git`.
#[derive(Debug)]
pub struct GitServer {
    _server: Server,
    large_files: Option<(Server, u16)>,
    folder: tempfile::TempDir,
    port: u16,
}

impl GitServer {
    /// Starts a server with an empty repository that anybody may read.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        Self::with("", false)
    }

    /// The same with a server for large files beside it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with_large_files() -> Self {
        Self::with("", true)
    }

    /// The same for [`USER`] alone.
    ///
    /// # Panics
    /// When it does not start.
    pub fn private() -> Self {
        let who = "auth.backend = \"plain\"\nauth.require = (\"/\" => (\"method\" => \"basic\", \"realm\" => \"git\", \"require\" => \"valid-user\"))\n";
        Self::with(who, true)
    }

    fn with(who: &str, has_large_files: bool) -> Self {
        let program = tools::debian_package("lighttpd", "/usr/sbin/lighttpd");
        let folder = tempfile::tempdir().expect("a folder for the server");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let (port, behind) = (free_port(), free_port());
        let large_files = has_large_files.then(|| (large_files(folder.path(), behind), behind));
        fs::create_dir(at("www")).expect("the folder is new");
        fs::write(at("users"), format!("{}:{}\n", USER.0, USER.1)).expect("the users can be written");
        let configuration = format!(
            "server.document-root = \"{www}\"\nserver.bind = \"127.0.0.1\"\nserver.port = {port}\n\
             server.modules = (\"mod_alias\", \"mod_auth\", \"mod_authn_file\", \"mod_cgi\", \"mod_setenv\", \"mod_proxy\")\n\
             server.upload-dirs = (\"{root}\")\nauth.backend.plain.userfile = \"{users}\"\n{who}\
             $HTTP[\"url\"] =~ \"^{PATH}/info/lfs|^/objects/\" {{\n\
               proxy.server = (\"\" => ((\"host\" => \"127.0.0.1\", \"port\" => {behind})))\n\
               proxy.header = (\"map-urlpath\" => (\"{PATH}/info/lfs\" => \"\"))\n\
             }} else $HTTP[\"url\"] =~ \"^/api/\" {{\n\
               alias.url = (\"/api\" => \"{backend}\")\ncgi.assign = (\"\" => \"\")\n\
               setenv.add-environment = (\"GIT_PROJECT_ROOT\" => \"{root}\", \"GIT_HTTP_EXPORT_ALL\" => \"\")\n\
             }}\n",
            www = at("www"),
            root = folder.path().display(),
            users = at("users"),
            backend = exec_path().join("git-http-backend").display(),
        );
        fs::write(at("lighttpd.conf"), configuration).expect("the configuration can be written");
        git(folder.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "model.git"]);
        git(&folder.path().join("model.git"), &["config", "uploadpack.allowFilter", "true"]);
        git(folder.path(), &["clone", "--quiet", "model.git", "work"]);
        let mut command = Command::new(program);
        command.args(["-D", "-f", &at("lighttpd.conf")]);
        let server = Server::start("lighttpd", &command, Duration::from_secs(30), || {
            http::get(port, "/").is_ok_and(|answer| matches!(answer.status, 401 | 403 | 404))
        });
        Self { _server: server, large_files, folder, port }
    }

    /// Makes the repository consist of these files, on its branch `main`, and gives the commit.
    ///
    /// # Panics
    /// When Git refuses.
    pub fn commit(&self, files: &[(&str, &[u8])]) -> String {
        let work = self.folder.path().join("work");
        let _ = process::output(Command::new("git").args(["rm", "-rfq", "."]).current_dir(&work));
        for (name, content) in files {
            let path = work.join(name);
            fs::create_dir_all(path.parent().expect("a file is in a folder"))
                .expect("the folder can be made");
            fs::write(path, content).expect("the file can be written");
        }
        git(&work, &["add", "--all"]);
        git(&work, &["commit", "--quiet", "--message", "a model"]);
        git(&work, &["push", "--quiet", "origin", "HEAD:main"]);
        git(&work, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    /// Names the last commit by a tag with words of its own.
    ///
    /// # Panics
    /// When Git refuses.
    pub fn tag(&self, name: &str) {
        let work = self.folder.path().join("work");
        git(&work, &["tag", "--annotate", "--message", "a version", name]);
        git(&work, &["push", "--quiet", "origin", name]);
    }

    /// Has the server no longer send commits without their files.
    ///
    /// # Panics
    /// When Git refuses.
    pub fn without_filter(&self) {
        git(&self.folder.path().join("model.git"), &["config", "uploadpack.allowFilter", "false"]);
    }

    /// Hands a large file to its server, and gives what stands for it in a commit.
    ///
    /// # Panics
    /// When there is no such server, or it refuses.
    pub fn keep_large(&self, content: &[u8]) -> Vec<u8> {
        let (_, port) = self.large_files.as_ref().expect("a server for large files");
        let file = self.folder.path().join("large");
        fs::write(&file, content).expect("the file can be written");
        let sha256 = process::run(Command::new("sha256sum").arg(&file));
        let sha256 = sha256.split(' ').next().expect("a digest").to_owned();
        let mut curl = Command::new(tools::debian_package("curl", "/usr/bin/curl"));
        process::run(
            curl.args(["-fsS", "-T"]).arg(&file).arg(format!("http://127.0.0.1:{port}/objects/{sha256}")),
        );
        let size = content.len();
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n").into_bytes()
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path of the repository.
    pub fn path(&self) -> &'static str {
        PATH
    }

    /// The address of the repository.
    pub fn uri(&self) -> String {
        format!("git+http://127.0.0.1:{}{PATH}", self.port)
    }
}

fn large_files(folder: &Path, port: u16) -> Server {
    let script = "import sys; from dulwich.lfs_server import run_lfs_server
server, _ = run_lfs_server('127.0.0.1', int(sys.argv[1]), sys.argv[2])
server.serve_forever()";
    let mut command = tools::kserve_python().command("python");
    command.args(["-c", script, &port.to_string()]).arg(folder.join("large-files"));
    Server::start("large files", &command, Duration::from_secs(30), || {
        http::get(port, "/objects/none").is_ok()
    })
}

fn exec_path() -> PathBuf {
    PathBuf::from(process::run(Command::new("git").arg("--exec-path")).trim())
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    for (name, value) in [("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")] {
        command.env(name, value);
    }
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "tests")
            .env(format!("GIT_{who}_EMAIL"), "tests@plimsoll.example");
    }
    process::run(command.args(arguments).current_dir(folder))
}
