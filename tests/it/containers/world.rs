//! What a Pod finds around it: a cluster's name server and an MLflow tracking server behind a Service name.
//!
//! There is no network between containers here, so the surroundings live on the loopback device that the
//! Pod's containers share. The name server owns that device, as the pause container does in Kubernetes.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use plimsoll_tests::mlflow_server::{MlflowServer, Options, Registered};
use plimsoll_tests::{places, poll};

use super::engine::{Engine, Running};

/// A tracking server with one registered model; its folder is what the Pods' tracking servers serve.
#[derive(Debug)]
pub struct Registry {
    server: MlflowServer,
    pub trained: Registered,
}

impl Registry {
    /// The registry that tests which run at the same time share, with `name` at `version` in it.
    pub fn shared(name: &str, version: &str) -> Arc<Self> {
        static SHARED: Mutex<Weak<Registry>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = MlflowServer::start(&Options::default());
            let trained = server.register_model(name, &[("version", version)], &[]);
            let registry = Arc::new(Self { server, trained });
            *shared = Arc::downgrade(&registry);
            registry
        })
    }
}

/// The surroundings of one Pod.
#[derive(Debug)]
pub struct World {
    tracking: Running,
    names: Running,
}

impl World {
    /// Starts the surroundings; the tracking server has the Service name and port of `address`.
    pub fn start(engine: &Engine, registry: &Registry, address: &str) -> Self {
        let (service, port) = address.split_once(':').unwrap_or((address, "80"));
        let script = places::data("containers/cluster_dns.py").display().to_string();
        let mut options = engine.host_programs();
        let domains = ["default.svc.cluster.local", "svc.cluster.local", "cluster.local"];
        options.extend(domains.map(|domain| format!("--dns-search={domain}")));
        options.extend(["--network=none", "--dns=127.0.0.1", "--dns-opt=ndots:5"].map(str::to_owned));
        let command = [engine.python_program("python"), script, service.to_owned(), "127.0.0.1".to_owned()];
        let names = engine.run("names", &options, engine.empty_image(), &command);

        let folder = registry.server.folder().display();
        let mut options = engine.host_programs();
        options.push(format!("--network=container:{}", names.id));
        options.push(format!("--mount=type=bind,source={folder},target={folder}"));
        options.extend(
            ["--tmpfs=/tmp:mode=1777", "--env=MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"].map(str::to_owned),
        );
        let command = format!(
            "{} server --host 127.0.0.1 --port {port} --workers 1 --allowed-hosts {address} \
             --backend-store-uri sqlite:///{folder}/mlflow.db --artifacts-destination {folder}/artifacts",
            engine.python_program("mlflow")
        );
        let command: Vec<_> = command.split_whitespace().map(str::to_owned).collect();
        let tracking = engine.run("tracking server", &options, engine.empty_image(), &command);
        let world = Self { tracking, names };
        poll::until("the tracking server of the Pod", Duration::from_secs(120), || {
            assert!(world.tracking.is_running(), "the tracking server ended: {}", world.tracking.log());
            world.tracking.log().contains("Uvicorn running on").then_some(())
        });
        world
    }

    /// The option that puts a container into the Pod's network.
    pub fn network(&self) -> String {
        format!("--network=container:{}", self.names.id)
    }

    /// What the name server was asked and answered.
    pub fn names_asked(&self) -> String {
        self.names.log()
    }
}
