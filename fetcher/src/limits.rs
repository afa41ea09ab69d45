//! Bounds on everything that a remote side controls.
//!
//! A registry, a store or a descriptor may be wrong or hostile; none of them decides how much memory or disk
//! a Pod spends. Each quantity that comes from outside is bounded here and nowhere else. The bounds on paths
//! are with [`handoff::SafePath`].

use std::time::Duration;

/// The bounds in force. There is one set; it is a struct so that a function's needs are seen in its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files in one model, listed or described.
    pub files: usize,
    /// Bytes of one JSON answer, descriptor or manifest. Ten thousand described files need about 3 MiB.
    pub document_bytes: usize,
    /// Files named `SHA256SUMS` in one model.
    pub manifests: usize,
    /// Redirects followed for one request. Credentials are not sent on to another host.
    pub redirects: usize,
    /// Pages of one registry search or listing.
    pub pages: usize,
    /// Folders in one listing of a source that lists folder by folder.
    pub folders: usize,
    /// Time to open a connection.
    pub connect: Duration,
}

impl Limits {
    /// The bounds of this build.
    pub const DEFAULT: Self = Self {
        files: 100_000,
        document_bytes: 32 * 1024 * 1024,
        manifests: 1000,
        redirects: 5,
        pages: 1000,
        folders: 10_000,
        connect: Duration::from_secs(10),
    };
}
