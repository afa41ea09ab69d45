//! From the start of the process to the first byte that is asked for: what our own work adds to a registry's.
//!
//! A real MLflow server says that the model is in the store. Relays before both write down what is asked
//! when, so what is ours is the time until the first request to the store, without the time that the registry
//! took to answer; and likewise until the first request for a file, without the store's own listing.

use std::path::Path;
use std::time::{Duration, Instant};

use plimsoll_tests::mlflow_server::{self, MlflowServer};
use serde_json::json;

use crate::comparison::empty;
use crate::data_set::{BUCKET, MODEL, VERSION};
use crate::options::Options;
use crate::problem::{Outcome, Problem};
use crate::process_tree::measure;
use crate::recorder::{Exchange, Recorder};
use crate::stage::Stage;
use crate::statistics::spread;

/// Size of the model in MiB, unless `--size` says otherwise: it does not matter.
const SIZE: u64 = 64;

/// Runs the scenario.
pub fn run(options: &Options, fetcher: &Path) -> Outcome<()> {
    let mut options = options.clone();
    options.size.get_or_insert(SIZE);
    options.tls = false;
    let stage = Stage::set(&options, fetcher, false)?;
    let registry = MlflowServer::start(&mlflow_server::Options::default());
    registry.call("POST", "registered-models/create", &json!({"name": MODEL}));
    let source = format!("s3://{BUCKET}/{MODEL}/{VERSION}");
    registry.call("POST", "model-versions/create", &json!({"name": MODEL, "source": source}));
    let (before_registry, before_store) =
        (Recorder::before(registry.port())?, Recorder::before(stage.server.port())?);
    let mut job = stage.job.clone();
    job.endpoint = stage.server.endpoint(before_store.port());
    let (mut to_store, mut to_file, mut answering) = (Vec::new(), Vec::new(), Vec::new());
    // The first round finds the registry cold and does not count.
    for round in 0..=options.rounds {
        empty(&stage.destination)?;
        let mut command = job.s3_command(fetcher);
        command.env("AWS_ALLOW_HTTP", "true").args(["pull", "--model-name", MODEL, "--model-version", "1"]);
        command.args(["--registry", &format!("mlflow+http://127.0.0.1:{}", before_registry.port())]);
        command.arg("--dest").arg(&stage.destination);
        let started = Instant::now();
        measure(vec![command], &stage.log)?;
        stage.data.compare_with(&stage.destination)?;
        let (asked, stored) = (before_registry.take(), before_store.take());
        if round == 0 {
            show("registry", &asked);
            continue;
        }
        let registry_took: Duration = asked.iter().map(Exchange::duration).sum();
        let of_file =
            |exchange: &&Exchange| stage.data.files.iter().any(|file| exchange.line.contains(&file.name));
        let (Some(first), Some(file)) = (stored.first(), stored.iter().find(of_file)) else {
            return Err(Problem::new("nothing was asked of the store"));
        };
        let listed: Duration =
            stored.iter().take_while(|exchange| !of_file(exchange)).map(Exchange::duration).sum();
        let since = |exchange: &Exchange| exchange.asked.duration_since(started);
        answering.push(milliseconds(registry_took));
        to_store.push(milliseconds(since(first).saturating_sub(registry_took)));
        to_file.push(milliseconds(since(file).saturating_sub(registry_took + listed)));
    }
    println!("medians of {} rounds, milliseconds (least–most):", options.rounds);
    for (name, values) in [
        ("the registry's answers", answering),
        ("start to first request of the store, without the registry's answers", to_store),
        ("start to first request of a file, without registry's and store's answers", to_file),
    ] {
        let spread = spread(values);
        println!("  {name:74} {:6.1} ({:.1}–{:.1})", spread.median, spread.least, spread.most);
    }
    Ok(())
}

fn show(who: &str, exchanges: &[Exchange]) {
    for exchange in exchanges {
        println!("  {who} is asked: {}", exchange.line);
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
