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
    folder: TempDir,
}

impl WebServer {
    /// nginx. It takes files by `PUT`, but pays no heed to the conditions under which they are to be taken.
    ///
    /// # Panics
    /// When it does not start.
    pub fn nginx() -> Self {
        let program = tools::debian_package("nginx-light", "/usr/sbin/nginx");
        Self::start("nginx", |folder, port| {
            let configuration = format!(
                "daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n\
                 events {{}}\n\
                 http {{ access_log off; client_max_body_size 0;\n\
                   client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
                   fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;\n\
                   scgi_temp_path {folder}/scgi;\n\
                   server {{ listen 127.0.0.1:{port}; root {folder}/www;\n\
                     location / {{ dav_methods PUT DELETE; create_full_put_path on; }} }} }}\n"
            );
            let path = format!("{folder}/nginx.conf");
            fs::write(&path, configuration).expect("the configuration can be written");
            let mut command = Command::new(&program);
            // As root it would hand the work to a user who may not read the folder.
            command.args(["-c", &path, "-g", "user root;"]);
            command
        })
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
        Self { _server: server, port, folder }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The folder that it serves.
    pub fn folder(&self) -> std::path::PathBuf {
        Path::new(self.folder.path()).join("www")
    }
}
