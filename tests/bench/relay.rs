//! A relay before a port of the loopback address: a thread for each connection that comes, and what it does with
//! the bytes is up to whoever asked for it.

use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::problem::{Outcome, Problem};

/// A relay that is listening; it takes no more connections when it is dropped.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    ended: Arc<AtomicBool>,
}

impl Relay {
    /// Puts a relay before `server`. `pass` is called with the client and the server of each connection; when it
    /// comes back, both are closed.
    pub fn before(
        server: u16,
        pass: impl Fn(&TcpStream, &TcpStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> Outcome<Self> {
        let problem = |error: io::Error| Problem::new(format!("cannot start a relay: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(problem)?;
        let port = listener.local_addr().map_err(problem)?.port();
        let (ended, pass) = (Arc::new(AtomicBool::new(false)), Arc::new(pass));
        let of_thread = Arc::clone(&ended);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if of_thread.load(Ordering::Relaxed) {
                    return;
                }
                let pass = Arc::clone(&pass);
                // A connection that breaks is the client's business.
                thread::spawn(move || connect(&client, server, &*pass));
            }
        });
        Ok(Self { port, ended })
    }

    /// The port that clients connect to.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn connect(
    client: &TcpStream,
    server: u16,
    pass: &impl Fn(&TcpStream, &TcpStream) -> io::Result<()>,
) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    pass(client, &server)
}

/// Passes bytes both ways, each on a thread, until the server is done or the client is gone.
pub fn both_ways(
    client: &TcpStream,
    server: &TcpStream,
    up: impl FnOnce() -> io::Result<()> + Send,
    down: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    thread::scope(|scope| {
        let up = scope.spawn(up);
        let down = down();
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
        let _ = up.join();
        down
    })
}
