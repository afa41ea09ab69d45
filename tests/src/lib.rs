//! Starts the real servers that the tests in `it/` run against, and installs what those servers need.
//!
//! * [`places`]: where the workspace, the test data and the installed tools are.
//! * [`tools`]: installs Python environments, Go programs, Debian packages and a Docker engine, once.
//! * [`binaries`]: builds the programs under test.
//! * [`process`]: a child process with a log, a readiness deadline and a certain end.
//! * [`api_server`]: a real Kubernetes API server.
//! * [`mlflow_server`], [`postgres_server`], [`s3_server`], [`gcs_server`], [`azure_server`], [`git_server`], [`hdfs_server`], [`model_registry`], [`oci_server`], [`model_server`], [`web_server`]: one real server each, on loopback.
//! * [`hugging_face`], [`azure_files`]: stand-ins for what cannot be had here, held to what the official clients make of them.
//! * [`fault_server`]: a server that misbehaves to order, for what no real one can be made to show.
//! * [`fault_proxy`]: a proxy that damages what a real server answers; [`faults`]: everything it does, as a table.
//! * [`crashes`]: ends the fetcher at every stage and counts what that cost.
//! * [`ready_sidecar`], [`load`]: the sidecar as it is for most of its life, and many requests to it.
//! * [`browser`]: a browser that shows a page, and whose every request is seen.
//! * [`noise`]: content. [`http`], [`poll`], [`skip`]: how a test asks, waits and says what it leaves out.
//!
//! Nothing here links the programs under test: tests know them as a user does, through their command line,
//! their files and their sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what cannot be started or read fails the test at that very line"
)]

pub mod api_server;
pub mod azure_files;
pub mod azure_server;
pub mod binaries;
pub mod browser;
pub mod crashes;
pub mod fault_proxy;
pub mod fault_server;
pub mod faults;
pub mod gcs_server;
pub mod git_server;
pub mod hdfs_server;
pub mod http;
pub mod hugging_face;
pub mod load;
pub mod mlflow_server;
pub mod model_registry;
pub mod model_server;
pub mod node;
pub mod noise;
pub mod oci_server;
pub mod places;
pub mod poll;
pub mod postgres_server;
pub mod process;
pub mod ready_sidecar;
pub mod s3_server;
pub mod skip;
pub mod tools;
pub mod web_server;
