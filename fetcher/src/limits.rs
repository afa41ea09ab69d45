//! Bounds on everything that a remote side controls.
//!
//! A registry, a store or a descriptor may be wrong or hostile; none of them decides how much memory or disk
//! a Pod spends. Each quantity that comes from outside is bounded here, or by a setting:
//!
//! | quantity | bound |
//! |---|---|
//! | bytes of a model | `FETCHER_MAX_SIZE`, and what is free on the volume |
//! | bytes that an archive unpacks to | the same, and a multiple of its own; see [`meter`](crate::archive::meter) |
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
    /// Members of one archive: files, folders and whatever else, those that are not of the model included.
    pub archive_members: usize,
    /// Bytes of a header of an archive that is not a member: a long name, or pax records.
    pub archive_header_bytes: usize,
    /// Bytes of the central directory of a ZIP archive, which is kept in memory, and what is behind it.
    pub zip_directory_bytes: usize,
    /// Bytes of the names of one archive's members that are of the model.
    pub archive_name_bytes: usize,
    /// How many bytes one byte of an archive may become, beyond the first `expansion_free`.
    pub expansion: u64,
    /// Bytes that any archive may become.
    pub expansion_free: u64,
    /// Bytes that a Zstandard frame may refer back by, which a decoder keeps in memory: what RFC 8878 asks of any.
    pub zstd_window: u64,
    /// Archives that are unpacked at the same time.
    pub archives_at_once: usize,
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
        archive_members: 1_000_000,
        archive_header_bytes: 1024 * 1024,
        zip_directory_bytes: 16 * 1024 * 1024,
        archive_name_bytes: 32 * 1024 * 1024,
        expansion: 100,
        expansion_free: 64 * 1024 * 1024,
        zstd_window: 8 * 1024 * 1024,
        archives_at_once: 2,
    };
}
