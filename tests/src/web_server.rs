//! Real web servers with a folder of files: nginx, and lighttpd with WebDAV.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Server, free_port};
use crate::{http, tools};

/// A running web server.
#[derive(Debug)]
pub struct WebServer {
    _server: Server,
    port: u16,
    tls_port: Option<u16>,
    folder: TempDir,
}

impl WebServer {
    /// nginx. It takes files by `PUT`, but pays no heed to the conditions under which they are to be taken.
    ///
    /// # Panics
    /// When it does not start.
    pub fn nginx() -> Self {
        Self::start("nginx", |folder, port| nginx(folder, &format!("listen 127.0.0.1:{port};")))
    }

    /// nginx with TLS beside plain HTTP; the certificate is signed by [`authority`](Self::authority).
    ///
    /// # Panics
    /// When it does not start.
    pub fn nginx_with_tls() -> Self {
        Self::nginx_with_certificate(make_certificate)
    }

    /// The same with a certificate that is made as [`make_certificate`] does, or otherwise.
    ///
    /// # Panics
    /// When it does not start.
    pub fn nginx_with_certificate(make: fn(&Path)) -> Self {
        let tls_port = free_port();
        let mut server = Self::start("nginx", |folder, port| {
            make(Path::new(folder));
            let listen = format!(
                "listen 127.0.0.1:{port}; listen 127.0.0.1:{tls_port} ssl;\n\
                 ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;"
            );
            nginx(folder, &listen)
        });
        server.tls_port = Some(tls_port);
        server
    }

    /// nginx that passes what it is asked over TLS, at `localhost` and `registry.localhost`, on to a server on this port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn nginx_with_tls_before(upstream: u16) -> Self {
        let tls_port = free_port();
        let mut server = Self::start("nginx", |folder, port| {
            make_certificate(Path::new(folder));
            let listen = format!(
                "listen 127.0.0.1:{port}; listen 127.0.0.1:{tls_port} ssl;\n\
                 ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;\n\
                 location = /up {{ root {folder}/www; }}\n\
                 location / {{ proxy_pass http://127.0.0.1:{upstream}; }}"
            );
            nginx_beside(folder, &listen)
        });
        server.tls_port = Some(tls_port);
        server
    }

    /// nginx that passes what it is asked below `path` on to the root of a server on this port: without TLS, and with it,
    /// at `localhost`, to whoever has [`client_certificate`](Self::client_certificate).
    ///
    /// # Panics
    /// When it does not start.
    pub fn nginx_with_client_certificates_before(upstream: u16, path: &str) -> Self {
        let tls_port = free_port();
        let mut server = Self::start("nginx", |folder, port| {
            make_certificate(Path::new(folder));
            make_client_certificate(Path::new(folder));
            let pass = format!("location {path}/ {{ proxy_pass http://127.0.0.1:{upstream}/; }}");
            let listen = format!(
                "listen 127.0.0.1:{port}; {pass} location / {{ root {folder}/www; }} }}\n\
                 server {{ listen 127.0.0.1:{tls_port} ssl; ssl_verify_client on;\n\
                 ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;\n\
                 ssl_client_certificate {folder}/authority.pem; {pass}"
            );
            nginx_beside(folder, &listen)
        });
        server.tls_port = Some(tls_port);
        server
    }

    /// lighttpd with WebDAV, which keeps `If-None-Match` and `If-Match`.
    ///
    /// # Panics
    /// When it does not start.
    pub fn webdav() -> Self {
        let program = tools::debian_package("lighttpd", "/usr/sbin/lighttpd");
        let module = "/usr/lib/lighttpd/mod_webdav.so";
        tools::debian_package("lighttpd-mod-webdav", module);
        Self::start("lighttpd", |folder, port| {
            let configuration = format!(
                "server.document-root = \"{folder}/www\"\nserver.bind = \"127.0.0.1\"\n\
                 server.port = {port}\nserver.modules = (\"mod_webdav\")\n\
                 server.upload-dirs = (\"{folder}\")\nwebdav.activate = \"enable\"\n\
                 mimetype.assign = (\"\" => \"application/octet-stream\")\n"
            );
            let path = format!("{folder}/lighttpd.conf");
            fs::write(&path, configuration).expect("the configuration can be written");
            let mut command = Command::new(&program);
            command.args(["-D", "-f", &path]);
            command
        })
    }

    fn start(name: &str, command: impl FnOnce(&str, u16) -> Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the server");
        fs::create_dir(folder.path().join("www")).expect("the folder is new");
        fs::write(folder.path().join("www/up"), "up").expect("the folder can be written to");
        let port = free_port();
        let command = command(&folder.path().display().to_string(), port);
        let server = Server::start(name, &command, Duration::from_secs(30), || {
            http::get(port, "/up").is_ok_and(|answer| answer.status == 200)
        });
        Self { _server: server, port, tls_port: None, folder }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The port it listens on without TLS.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port it listens on with TLS, if it does.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// Its address with TLS.
    ///
    /// # Panics
    /// When it was started without.
    pub fn tls_url(&self) -> String {
        format!("https://localhost:{}", self.tls_port.expect("the server has TLS"))
    }

    /// The file with the certificate authority that vouches for it.
    pub fn authority(&self) -> std::path::PathBuf {
        self.folder.path().join("authority.pem")
    }

    /// The file with the certificate that it knows a client by, and its key.
    pub fn client_certificate(&self) -> std::path::PathBuf {
        self.folder.path().join("client.pem")
    }

    /// The folder that it serves.
    pub fn folder(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("www")
    }
}

fn nginx(folder: &str, listen: &str) -> Command {
    let place =
        format!("root {folder}/www; location / {{ dav_methods PUT DELETE; create_full_put_path on; }}");
    nginx_beside(folder, &format!("{listen}\n{place}"))
}

/// nginx with what stands in its server, and may end it and begin another.
fn nginx_beside(folder: &str, server: &str) -> Command {
    let program = tools::debian_package("nginx-light", "/usr/sbin/nginx");
    let configuration = format!(
        "daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n\
         events {{}}\n\
         http {{ access_log off; client_max_body_size 0;\n\
           default_type application/octet-stream; types {{ application/json json; }}\n\
           client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
           fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;\n\
           server {{ {server} }} }}\n"
    );
    let path = format!("{folder}/nginx.conf");
    fs::write(&path, configuration).expect("the configuration can be written");
    let mut command = Command::new(&program);
    // As root it would hand the work to a user who may not read the folder.
    command.args(["-c", &path, "-g", "user root;"]);
    command
}

/// A certificate for `localhost` and `registry.localhost`, and the authority that signed it: a server's certificate must not be its own
/// authority's. The folder gets `authority.pem`, `server.pem` and `server.key`.
///
/// # Panics
/// When `openssl` fails.
pub fn make_certificate(folder: &Path) {
    let script = "
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -keyout authority.key -out authority.pem -subj /CN=authority -days 2
        openssl req $key -keyout server.key -out server.csr -subj /CN=localhost
        printf 'subjectAltName=DNS:localhost,DNS:registry.localhost\nbasicConstraints=CA:FALSE\n' >extensions
        openssl x509 -req -in server.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
            -extfile extensions -out server.pem";
    crate::process::run(Command::new("sh").args(["-ec", script]).current_dir(folder));
}

/// A certificate of the same authority for a client: the folder gets `client.pem`, with its key.
fn make_client_certificate(folder: &Path) {
    let script = "
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout client.key -out client.csr -subj /CN=fetcher
        printf 'basicConstraints=CA:FALSE\n' >client-extensions
        openssl x509 -req -in client.csr -CA authority.pem -CAkey authority.key -CAcreateserial -days 2 \
            -extfile client-extensions -out client.crt
        cat client.crt client.key >client.pem";
    crate::process::run(Command::new("sh").args(["-ec", script]).current_dir(folder));
}
