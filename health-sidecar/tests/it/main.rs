//! Runs the real binary against a volume and a stand-in for a model server that can be made to misbehave.

mod check;
mod configuration;
mod endpoints;
mod metrics;
mod model_server;
mod orders;
mod presets;
mod receipt_faults;
mod server_faults;
mod shutdown;
mod sidecar;
mod smoke;
mod volume;
