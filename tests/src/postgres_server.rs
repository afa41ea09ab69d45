//! A real PostgreSQL server with a metadata database, over a temporary folder, as a user who is not root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{End, Server, free_port};
use crate::web_server::make_certificate;
use crate::{places, process, tools};

/// The role that our own migration makes.
pub const READER: &str = "plimsoll_reader";
/// Its password here.
pub const PASSWORD: &str = "c4n4ry-of-the-reader";
/// The database with our own migration.
const DATABASE: &str = "ml";
/// The database that is reached without TLS, and only so.
const PLAIN_DATABASE: &str = "plain";

/// A running server. `ml` is reached with TLS, and is as our own migration makes it; `plain`, which is empty, without.
#[derive(Debug)]
pub struct PostgresServer {
    _server: Server,
    programs: PathBuf,
    port: u16,
    folder: TempDir,
}

impl PostgresServer {
    /// Starts a server.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start() -> Self {
        let programs = programs();
        let folder = tempfile::tempdir().expect("a folder for the server");
        let path = folder.path();
        make_certificate(path);
        fs::create_dir(path.join("data")).expect("the folder is new");
        if rustix::process::geteuid().is_root() {
            process::run(Command::new("chown").args(["-R", "postgres:"]).arg(path));
        }
        let mut initdb = as_nobody_special(&programs.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        process::run(initdb.arg("-D").arg(path.join("data")));
        let rules = format!(
            "local all all trust\n\
             hostnossl {PLAIN_DATABASE} all 127.0.0.1/32 scram-sha-256\n\
             hostssl all all 127.0.0.1/32 scram-sha-256\n"
        );
        fs::write(path.join("data/pg_hba.conf"), rules).expect("the rules can be written");
        let port = free_port();
        // In the file and not on the command line, so that a test may have it otherwise.
        let shown = path.display();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{shown}'\n\
             ssl = on\nssl_cert_file = '{shown}/server.pem'\nssl_key_file = '{shown}/server.key'\n\
             fsync = off\ndynamic_shared_memory_type = mmap\n\
             # A query whose client has gone ends, and so does the server when it is told to.\n\
             client_connection_check_interval = 100\n"
        );
        fs::write(path.join("data/postgresql.conf"), settings).expect("the settings can be written");
        let mut command = as_nobody_special(&programs.join("postgres"));
        command.arg("-D").arg(path.join("data"));
        // Its workers leave its group, and what it shares with them is given back only if it ends by itself.
        let mut server = Server::spawn("postgres", &command, End::Terminate);
        server.wait_ready(Duration::from_secs(30), || {
            let mut ask = psql(&programs, path, port, "postgres");
            process::output(ask.args(["-c", "SELECT"])).status.success()
        });
        let server = Self { _server: server, programs, port, folder };
        for database in [DATABASE, PLAIN_DATABASE] {
            server.sql("postgres", &format!("CREATE DATABASE {database}"));
        }
        server.migrate();
        server
    }

    /// Does to the database what a team without tables does.
    fn migrate(&self) {
        let file = places::workspace().join("fetcher/migrations/0001_models.sql");
        process::run(self.psql(DATABASE).arg("--single-transaction").arg("-f").arg(file));
        self.tell(&format!("ALTER ROLE {READER} PASSWORD '{PASSWORD}'"));
    }

    /// Has the owner of everything say something to the database of that name, and gives the answer.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn sql(&self, database: &str, text: &str) -> String {
        process::run(self.psql(database).args(["-c", text]))
    }

    /// The same to the database with our own migration.
    ///
    /// # Panics
    /// When the server refuses it.
    #[track_caller]
    pub fn tell(&self, text: &str) -> String {
        self.sql(DATABASE, text)
    }

    /// What the server has to say against a statement by a role.
    ///
    /// # Panics
    /// When it has nothing against it.
    #[track_caller]
    pub fn refusal(&self, role: &str, text: &str) -> String {
        let output = process::output(self.psql(DATABASE).args(["-c", &format!("SET ROLE {role}; {text}")]));
        assert!(!output.status.success(), "expected {role} to be refused: {text}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    fn psql(&self, database: &str) -> Command {
        psql(&self.programs, self.folder.path(), self.port, database)
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of the database with our own migration, by the name that the certificate has.
    pub fn registry(&self) -> String {
        self.registry_at("localhost", DATABASE)
    }

    /// The address of the database that is reached without TLS, as it must be asked for.
    pub fn plain_registry(&self) -> String {
        format!("{}?sslmode=disable", self.registry_at("localhost", PLAIN_DATABASE))
    }

    /// The address of any database.
    pub fn registry_at(&self, host: &str, database: &str) -> String {
        format!("postgres://{host}:{}/{database}", self.port)
    }

    /// The environment that lets the reader in, and has the server's certificate believed.
    pub fn environment(&self) -> Vec<(String, String)> {
        let authority = self.folder.path().join("authority.pem").display().to_string();
        [("PGUSER", READER), ("PGPASSWORD", PASSWORD), ("SSL_CERT_FILE", &authority)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }
}

/// The folder with the server's programs. Debian has it by version, and several may be there.
fn programs() -> PathBuf {
    tools::debian_package("postgresql", "/usr/bin/pg_createcluster");
    let folders = fs::read_dir("/usr/lib/postgresql").expect("the server's programs are there");
    let programs = folders.map(|version| version.expect("the folder is readable").path().join("bin"));
    programs.filter(|folder| folder.join("initdb").is_file()).max().expect("the server's programs are there")
}

/// The server refuses to run as root.
fn as_nobody_special(program: &Path) -> Command {
    let mut command = match rustix::process::geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        }
        false => Command::new(program),
    };
    command.current_dir("/");
    command
}

fn psql(programs: &Path, folder: &Path, port: u16, database: &str) -> Command {
    let mut command = Command::new(programs.join("psql"));
    command.env_clear().args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h"]);
    command.arg(folder).args(["-p", &port.to_string(), "-d", database]);
    command
}
