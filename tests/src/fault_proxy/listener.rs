//! Takes connections, a thread for each, until it is dropped.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A port of the loopback address that somebody listens on.
#[derive(Debug)]
pub(super) struct Listener {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Listener {
    /// Begins to listen. Each connection is given to `serve`, with what says that all is over.
    ///
    /// # Panics
    /// When no port is free.
    pub(super) fn start(serve: impl Fn(&TcpStream, &AtomicBool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (stop, serve) = (Arc::new(AtomicBool::new(false)), Arc::new(serve));
        let of_thread = Arc::clone(&stop);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if of_thread.load(Ordering::Relaxed) {
                    return;
                }
                let (serve, stop) = (Arc::clone(&serve), Arc::clone(&of_thread));
                thread::spawn(move || serve(&client, &stop));
            }
        });
        Self { port, stop }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // It waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}
