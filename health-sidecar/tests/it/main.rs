//! Runs the real binary against a volume and a stand-in for a model server that can be made to misbehave.

mod answers;
mod asking;
mod auto;
mod chaos;
mod check;
mod configuration;
mod endpoints;
mod grpc;
mod install;
mod kinds;
mod metrics;
mod model_server;
mod orders;
mod receipt_faults;
mod server_faults;
mod shutdown;
mod sidecar;
mod smoke;
mod volume;
