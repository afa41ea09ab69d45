//! Opens the port. The default `[::]` takes IPv4 and IPv6 alike, whatever the node's settings: the kubelet
//! comes over the one, Prometheus perhaps over the other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

/// How many connections the kernel holds until they are taken; it may hold fewer (`net.core.somaxconn`). Where there is no
/// room, it drops the first packet of a connection and the client comes again only after a second, which the kubelet
/// does not wait.
const BACKLOG: i32 = 4096;

/// Listens on `address`; on `[::]` also for IPv4, and for IPv4 alone where there is no IPv6.
///
/// # Errors
/// Fails as the system does. Needs a tokio runtime with I/O.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    with_fallback(address, bind)
}

fn with_fallback<T>(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    let taken = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied)
    };
    match bind(address) {
        Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && !taken(&error) => {
            bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()))
        }
        outcome => outcome,
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // A restarted container must not wait for the last one's connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(address: &str, kind: io::ErrorKind) -> (Vec<String>, bool) {
        let seen = std::cell::RefCell::new(Vec::new());
        let outcome = with_fallback(address.parse().unwrap(), |address| {
            seen.borrow_mut().push(address.to_string());
            if address.is_ipv6() { Err(kind.into()) } else { Ok(()) }
        });
        (seen.into_inner(), outcome.is_ok())
    }

    #[test]
    fn only_a_missing_ipv6_falls_back() {
        let both = vec!["[::]:8090".to_owned(), "0.0.0.0:8090".to_owned()];
        assert_eq!(attempts("[::]:8090", io::ErrorKind::Unsupported), (both.clone(), true));
        assert_eq!(attempts("[::]:8090", io::ErrorKind::AddrNotAvailable), (both, true));
        assert_eq!(attempts("[::]:8090", io::ErrorKind::AddrInUse).0.len(), 1);
        assert_eq!(attempts("[::1]:8090", io::ErrorKind::AddrNotAvailable).0.len(), 1);
    }
}
