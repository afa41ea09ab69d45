//! The model server of the end-to-end story. It loads a model of a few lines and answers the Open Inference Protocol; what is
//! wrong with it is wrong with its model, so that a broken rollout is one line in Git, as it would be with any other server.
//!
//! ```text
//! e2e-server             waits for ever: the image is also the one that holds a Pod's namespaces
//! e2e-server FILE PORT   loads the model in FILE and serves it on PORT
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::{env, thread};

mod http;
mod model;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [] => loop {
            thread::park();
        },
        [file, port] => http::serve(Path::new(file), port),
        _ => Err("expected a file and a port, or nothing".to_owned()),
    };
    let Err(reason) = outcome else { return ExitCode::SUCCESS };
    eprintln!("{reason}");
    // Where the kubelet looks for the last words of a container.
    let _ = std::fs::write("/dev/termination-log", &reason);
    ExitCode::FAILURE
}
