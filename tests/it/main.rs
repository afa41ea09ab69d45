//! The tests of the whole: the programs as a user runs them, against real servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what cannot be read fails the test at that very line"
)]

mod archive;
mod argocd;
mod azure;
mod azure_files;
mod canary;
mod catalog;
mod certificates;
mod cli;
mod cluster;
mod confinement;
mod containers;
mod crashes;
mod disk;
mod disk_faults;
mod documentation;
mod fault_table;
mod faults;
mod fetcher;
mod filter;
mod floods;
mod gcs;
mod git;
mod hdfs;
mod hugging_face;
mod integrity;
mod kserve;
mod manifests;
mod memory;
mod messages;
mod metrics;
mod mlflow;
mod model_registry;
mod model_servers;
mod monitoring;
mod namespaces;
mod oci;
mod page;
mod pipelines;
mod postgres;
mod resume;
mod s3;
mod secrets;
mod sidecar;
mod sidecar_numbers;
mod signature;
mod signature_pull;
mod smoke;
mod status_reports;
mod story;
mod transfer;
mod web;
