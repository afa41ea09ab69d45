//! The contract between `fetcher`, which writes, and `health-sidecar`, which reads.
//!
//! The two binaries share a volume and nothing else, so what they say to each other is files. This crate
//! owns those files: their names ([`layout`]), their formats ([`receipt`], [`progress`]), the types that make
//! a malformed one unrepresentable ([`path`], [`digest`]) and the way they are replaced without a reader ever
//! seeing half of one ([`persist`]). It also owns the exit codes, which are the contract with the kubelet.
//!
//! It depends on none of our crates and does no networking, so the sidecar that links it stays small.

pub mod boot;
pub mod byte_size;
pub mod digest;
pub mod duration;
pub mod exit_code;
pub mod integrity;
pub mod layout;
pub mod model;
pub mod path;
pub mod persist;
pub mod progress;
pub mod receipt;
pub mod selection;
pub mod text;

pub use byte_size::ByteSize;
pub use digest::{ModelDigest, Sha256Digest};
pub use exit_code::ExitCode;
pub use integrity::Integrity;
pub use layout::Layout;
pub use model::ModelId;
pub use path::SafePath;
pub use persist::ReadError;
pub use progress::{Connections, Failure, Phase, Progress};
pub use receipt::{FileEntry, NotInPlace, Receipt, Resolved};
pub use selection::Selection;
