//! Certificates that a server should not show.

use std::path::Path;
use std::process::Command;

use crate::process;
use crate::web_server::make_certificate;

/// What a server's certificate is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// As it must be.
    Right,
    /// Right, but the server is asked for under another name.
    OtherName,
    /// Over since long.
    Expired,
    /// Signed by itself.
    SelfSigned,
}

impl Certificate {
    /// What makes it, in a folder.
    pub(super) fn maker(self) -> fn(&Path) {
        match self {
            Self::Right | Self::OtherName => make_certificate,
            Self::Expired => make_expired,
            Self::SelfSigned => make_self_signed,
        }
    }

    /// The name by which the server is asked for.
    pub(super) fn host(self) -> &'static str {
        match self {
            Self::OtherName => "127.0.0.1",
            Self::Right | Self::Expired | Self::SelfSigned => "localhost",
        }
    }
}

fn make_expired(folder: &Path) {
    make_certificate(folder);
    let script = "
        : >index.txt
        printf '01\n' >serial
        printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' >ca.conf
        openssl ca -batch -config ca.conf -in server.csr -cert authority.pem -keyfile authority.key \
            -extfile extensions -startdate 20200101000000Z -enddate 20200201000000Z -notext -out server.pem";
    process::run(Command::new("sh").args(["-ec", script]).current_dir(folder));
}

fn make_self_signed(folder: &Path) {
    make_certificate(folder);
    // The authority that is trusted remains another one.
    let script = "
        openssl x509 -req -in server.csr -signkey server.key -days 2 -extfile extensions -out server.pem";
    process::run(Command::new("sh").args(["-ec", script]).current_dir(folder));
}
