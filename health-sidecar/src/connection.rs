//! One client: what it may take up, and when it has to go.
//!
//! The kubelet opens a connection, asks at once and waits for a second, and no other client may keep it waiting. So everyone
//! is let in, into one of two [`Room`]s where whoever was silent for longest makes room for who comes. In the first are those
//! who have said nothing yet: it costs little and holds many, so that one who is about to speak is not pushed out by
//! a crowd. With its first byte a client moves to the second, where it has buffers. A request that comes in one piece, as the
//! kubelet's does, is answered at that very moment; those who stay are slow, idle or deaf, and have only each other to fear.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::{task, time};

use crate::places::{Place, Places};

/// How many clients there may be that have said nothing yet.
pub const MAX_SILENT: usize = 256;
/// How many there may be that have. Each has 16 KiB of buffers.
pub const MAX_SPEAKING: usize = 32;
/// How long a client may take to say something, and then to send a request's head; and how long an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 8 * 1024;
/// How many headers a request may have.
const MAX_HEADERS: usize = 64;
/// How long one connection may last, however busy.
const MAX_LIFETIME: Duration = Duration::from_secs(60);
/// How long a connection that is to end may take to finish its last answer.
const GRACE: Duration = Duration::from_secs(2);

/// Where so many clients may be at once.
#[derive(Clone)]
pub struct Room(Rc<RefCell<Places<oneshot::Sender<Infallible>>>>);

/// A client's place in a [`Room`] for as long as this lives, or until somebody else needs it.
pub struct Seat {
    room: Room,
    place: Cell<Place>,
    /// Ends when the place is lost.
    lost: oneshot::Receiver<Infallible>,
}

impl Room {
    /// A room for `most`.
    pub fn new(most: usize) -> Self {
        Self(Rc::new(RefCell::new(Places::new(most))))
    }

    /// Lets a client in. Where there is no room, another one loses its place.
    pub fn enter(&self) -> Seat {
        let (keeper, lost) = oneshot::channel();
        let (place, _) = self.0.borrow_mut().take(keeper);
        Seat { room: self.clone(), place: Cell::new(place), lost }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.0.borrow_mut().leave(self.place.get());
    }
}

/// Serves a client that has come in by the seat of the first room until it ends, has to go, or is `stopping`. Needs a
/// [`tokio::task::LocalSet`].
pub async fn serve(
    stream: TcpStream,
    mut silent: Seat,
    speaking: Room,
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>>,
    mut stopping: watch::Receiver<bool>,
) {
    // Asked of the kernel: to wait for a socket to be readable ends at once on a new one.
    let mut first = [0];
    tokio::select! {
        heard = time::timeout(HEAD_TIMEOUT, stream.peek(&mut first)) => {
            if !matches!(heard, Ok(Ok(1))) {
                return;
            }
        }
        _ = &mut silent.lost => return,
        _ = stopping.wait_for(|stopping| *stopping) => return,
    }
    let seat = speaking.enter();
    drop(silent);
    // Apart, so that those who are silent do without its room.
    Box::pin(converse(stream, seat, answer, stopping)).await;
}

async fn converse(
    stream: TcpStream,
    mut seat: Seat,
    answer: impl Fn(&Request<Incoming>) -> Response<Full<Bytes>>,
    mut stopping: watch::Receiver<bool>,
) {
    let (room, place) = (&seat.room, &seat.place);
    // Whoever sends the next request before there is an answer to the last waits until all others had a turn.
    let has_answered = Cell::new(false);
    let answer = async |request: Request<Incoming>| {
        if has_answered.replace(true) {
            task::yield_now().await;
            has_answered.set(true);
        }
        place.set(room.0.borrow_mut().touch(place.get()));
        Ok::<_, Infallible>(answer(&request))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Whoever has sent a request and closes their end may still read: otherwise it is luck which is noticed first.
        .half_close(true)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    let mut connection = pin!(connection);
    let turns = poll_fn(|context| {
        has_answered.set(false);
        connection.as_mut().poll(context)
    });
    // How a client's connection fails is the client's affair: nothing to do, nothing worth a log line.
    tokio::select! {
        _ = turns => return,
        _ = &mut seat.lost => return,
        _ = stopping.wait_for(|stopping| *stopping) => {}
        () = time::sleep(MAX_LIFETIME) => {}
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        _ = time::timeout(GRACE, connection) => {}
        _ = &mut seat.lost => {}
    }
}
