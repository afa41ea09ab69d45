//! The tests of the whole: the programs as a user runs them, against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what cannot be read fails the test at that very line"
)]

mod argocd;
mod catalog;
mod cli;
mod confinement;
mod containers;
mod documentation;
mod fault_table;
mod faults;
mod fetcher;
mod integrity;
mod manifests;
mod memory;
mod mlflow;
mod model_servers;
mod resume;
mod s3;
mod secrets;
mod signature;
mod signature_pull;
mod story;
mod transfer;
mod web;
