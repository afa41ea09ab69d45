//! The server: nginx with `sendfile`, the same files as plain HTTP and as an S3 façade.
//!
//! The façade is static: objects are files, every listing is one prepared answer, and no signature is
//! checked. So the server costs less than any real store, and what is measured is the client.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use plimsoll_tests::process::{Server, free_port};
use plimsoll_tests::{http, tools, web_server};

use crate::data_set::{BUCKET, DataSet, MODIFIED};
use crate::problem::{Outcome, Problem};

/// How clients reach a server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The address without a path: `http://127.0.0.1:8080`.
    pub url: String,
    /// The authority that vouches for it, if it speaks TLS.
    pub authority: Option<PathBuf>,
}

/// A running server.
#[derive(Debug)]
pub struct ObjectServer {
    _server: Server,
    port: u16,
    authority: Option<PathBuf>,
    access_log: PathBuf,
}

/// How a server is started.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Processes that serve, if not as many as suit the machine.
    pub workers: Option<u16>,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether it writes down each request.
    pub log: bool,
}

impl ObjectServer {
    /// Serves a data set; the folder is the server's own.
    pub fn start(data: &DataSet, folder: &Path, setup: Setup) -> Outcome<Self> {
        let program = tools::debian_package("nginx-light", "/usr/sbin/nginx");
        let port = free_port();
        fs::write(data.root.join("listing.xml"), listing(data))
            .map_err(Problem::at("write into", &data.root))?;
        if setup.tls {
            web_server::make_certificate(folder);
        }
        let path = folder.join("nginx.conf");
        let text = configuration(folder, &data.root, port, setup);
        fs::write(&path, text).map_err(Problem::at("write", &path))?;
        let mut command = Command::new(program);
        // As root it would hand the work to a user who may not read the folder.
        command.arg("-c").arg(&path).args(["-g", "user root;"]);
        let server = Server::start("nginx", &command, Duration::from_secs(30), || {
            if setup.tls {
                return std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
            }
            http::get(port, &format!("/{BUCKET}/")).is_ok_and(|answer| answer.status == 200)
        });
        let authority = setup.tls.then(|| folder.join("authority.pem"));
        Ok(Self { _server: server, port, authority, access_log: folder.join("access.log") })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How clients reach it through a port, its own or that of something in between.
    pub fn endpoint(&self, port: u16) -> Endpoint {
        let url = match &self.authority {
            // The certificate is for the name.
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        Endpoint { url, authority: self.authority.clone() }
    }

    /// Bytes of all answers so far, without their headers. Needs [`Setup::log`].
    pub fn bytes_sent(&self) -> u64 {
        let log = fs::read_to_string(&self.access_log).unwrap_or_default();
        log.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok()).sum()
    }
}

fn configuration(folder: &Path, root: &Path, port: u16, setup: Setup) -> String {
    let (folder, root) = (folder.display(), root.display());
    let workers = setup.workers.map_or_else(|| default_workers(setup.tls), usize::from);
    let log = match setup.log {
        true => {
            format!("log_format sent '$body_bytes_sent $status $uri'; access_log {folder}/access.log sent;")
        }
        false => "access_log off;".to_owned(),
    };
    let tls = match setup.tls {
        true => format!(" ssl; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key"),
        false => String::new(),
    };
    format!(
        "daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes {workers};\n\
         events {{ worker_connections 4096; }}\n\
         http {{ {log} sendfile on; tcp_nopush on; keepalive_requests 1000000; open_file_cache max=4096;\n\
           default_type application/octet-stream; client_body_temp_path {folder}/body;\n\
           proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;\n\
           uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
           server {{ listen 127.0.0.1:{port}{tls};\n\
             root {root};\n\
             location = /{BUCKET} {{ rewrite ^ /listing.xml last; }}\n\
             location = /{BUCKET}/ {{ rewrite ^ /listing.xml last; }}\n\
             location = /listing.xml {{ internal; default_type application/xml; }} }} }}\n"
    )
}

/// One worker serves several GB/s with `sendfile`; more of them only take processors from the client.
/// Encryption is another matter.
fn default_workers(tls: bool) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    if tls { processors } else { processors.div_ceil(4) }
}

/// The answer to any question for the bucket's content. A real store would give a thousand names at a time.
fn listing(data: &DataSet) -> String {
    use std::fmt::Write as _;
    let prefix = DataSet::prefix();
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{BUCKET}</Name>\
         <Prefix>{prefix}</Prefix><KeyCount>{}</KeyCount><MaxKeys>1000</MaxKeys>\
         <IsTruncated>false</IsTruncated>",
        data.files.len()
    );
    for file in &data.files {
        // The entity tag is the one that nginx makes of time and size.
        let _ = write!(
            xml,
            "<Contents><Key>{prefix}{}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>\
             <ETag>&quot;{MODIFIED:x}-{:x}&quot;</ETag><Size>{}</Size>\
             <StorageClass>STANDARD</StorageClass></Contents>",
            file.name, file.size, file.size
        );
    }
    xml + "</ListBucketResult>\n"
}
