//! A proxy that knows nothing but bytes, for what goes wrong with TLS on the way.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt;

use super::answer::wait_until_gone;
use super::listener::Listener;

/// Longest wait for bytes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is done to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcpDamage {
    /// Nothing.
    #[default]
    None,
    /// It is reset after so many bytes from the server.
    ResetAfter(u64),
    /// It is closed after so many bytes from the server, without a word of TLS.
    CloseAfter(u64),
    /// Nothing comes after so many bytes from the server.
    StallAfter(u64),
    /// The byte of that number comes with one bit flipped.
    FlipAt(u64),
}

/// A running proxy.
#[derive(Debug)]
pub struct TcpProxy {
    listener: Listener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: u16,
    /// What is done to which connection, by its number.
    damage: Mutex<fn(u64) -> TcpDamage>,
    connections: AtomicU64,
    passed: AtomicU64,
}

impl TcpProxy {
    /// Starts a proxy in front of what listens on a port of the loopback address. It damages nothing yet.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(server: u16) -> Self {
        let shared = Arc::new(Shared {
            server,
            damage: Mutex::new(|_| TcpDamage::None),
            connections: AtomicU64::default(),
            passed: AtomicU64::default(),
        });
        let of_thread = Arc::clone(&shared);
        let listener = Listener::start(move |client, stop| drop(of_thread.serve(client, stop)));
        Self { listener, shared }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// Damages connections from now on. The function gets the number of each, from 0.
    pub fn damage(&self, damage: fn(u64) -> TcpDamage) {
        *self.shared.damage.lock().unwrap_or_else(PoisonError::into_inner) = damage;
    }

    /// Passes everything on as it is from now on, and counts bytes anew.
    pub fn heal(&self) {
        self.damage(|_| TcpDamage::None);
        self.shared.passed.store(0, Ordering::Relaxed);
    }

    /// How many bytes came from the server.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream, stop: &AtomicBool) -> io::Result<()> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let damage = self.damage.lock().unwrap_or_else(PoisonError::into_inner)(number);
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server))?;
        for stream in [client, &server] {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
        }
        let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
        let upwards = thread::spawn(move || {
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        let outcome = self.answer(client, &server, damage, stop);
        // Ends the other direction, whatever it waits for; a reset needs the last handle to be closed.
        let _ = server.shutdown(Shutdown::Both);
        if matches!(damage, TcpDamage::ResetAfter(_)) {
            let _ = client.shutdown(Shutdown::Read);
        } else {
            let _ = client.shutdown(Shutdown::Both);
        }
        let _ = upwards.join();
        outcome
    }

    fn answer(
        &self,
        mut client: &TcpStream,
        mut server: &TcpStream,
        damage: TcpDamage,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        let (mut piece, mut before) = (vec![0; 16 * 1024], 0_u64);
        let end = match damage {
            TcpDamage::ResetAfter(bytes) | TcpDamage::CloseAfter(bytes) | TcpDamage::StallAfter(bytes) => {
                bytes
            }
            TcpDamage::None | TcpDamage::FlipAt(_) => u64::MAX,
        };
        while before < end {
            let most = piece.len().min(usize::try_from(end - before).unwrap_or(usize::MAX));
            let length = server.read(piece.get_mut(..most).unwrap_or_default())?;
            if length == 0 {
                return Ok(());
            }
            if let TcpDamage::FlipAt(at) = damage
                && let Some(byte) =
                    at.checked_sub(before).and_then(|at| piece.get_mut(usize::try_from(at).ok()?))
            {
                *byte ^= 1;
            }
            client.write_all(piece.get(..length).unwrap_or_default())?;
            let length = u64::try_from(length).unwrap_or(0);
            before += length;
            self.passed.fetch_add(length, Ordering::Relaxed);
        }
        match damage {
            TcpDamage::ResetAfter(_) => sockopt::set_socket_linger(client, Some(Duration::ZERO))?,
            TcpDamage::StallAfter(_) => wait_until_gone(client, stop)?,
            TcpDamage::None | TcpDamage::CloseAfter(_) | TcpDamage::FlipAt(_) => {}
        }
        Ok(())
    }
}
