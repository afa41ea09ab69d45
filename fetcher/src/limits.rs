//! Bounds on everything that a remote side controls.
//!
//! A registry, a store or a descriptor may be wrong or hostile; none of them decides how much memory or disk
//! a Pod spends. Each quantity that comes from outside is bounded here, or by a setting:
//!
//! | quantity | bound |
//! |---|---|
//! | bytes of a model | `FETCHER_MAX_SIZE`, and what is free on the volume |
//! | time of a run | `FETCHER_DEADLINE` |
//! | silence on a connection | `FETCHER_STALL_TIMEOUT` |
//! | attempts, and what `Retry-After` may ask for | `FETCHER_RETRY_ATTEMPTS`; [`retry`](crate::retry) |
//! | headers of an answer | 100, in some 400 KiB: what hyper takes, which has no setting to reach from here |
//! | depth of JSON | 128, as `serde_json` has it; of YAML what `serde-saphyr` allows by its budget |

use std::time::Duration;

/// The bounds in force. There is one set; it is a struct so that a function's needs are seen in its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Files in one model, listed or described.
    pub files: usize,
    /// Bytes of one file's path; see [`handoff::SafePath`].
    pub path_bytes: usize,
    /// Components of one file's path.
    pub path_components: usize,
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
    /// Bytes of one manifest of an OCI registry, or of a config: what registries themselves take at most.
    pub oci_manifest_bytes: usize,
    /// Layers of one OCI manifest.
    pub oci_layers: usize,
    /// Model kits that one kit may be built upon, each upon the next, as KitOps has it.
    pub oci_parents: usize,
    /// Time to open a connection.
    pub connect: Duration,
}

impl Limits {
    /// The bounds of this build.
    pub const DEFAULT: Self = Self {
        files: 100_000,
        path_bytes: handoff::path::MAX_PATH_BYTES,
        path_components: handoff::path::MAX_COMPONENTS,
        document_bytes: 32 * 1024 * 1024,
        manifests: 1000,
        redirects: 5,
        pages: 1000,
        folders: 10_000,
        oci_manifest_bytes: 4 * 1024 * 1024,
        oci_layers: 10_000,
        oci_parents: 10,
        connect: Duration::from_secs(10),
    };
}
