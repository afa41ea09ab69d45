//! Whether anybody listens: the weakest word there is, for a server that has no other.
//!
//! Most servers listen long before they have loaded anything, so this says "loaded" of a server that is not. It is
//! for one that is known to open its port last.

use tokio::net::TcpStream;

use crate::exchange::ExchangeError;
use crate::http_url::HttpUrl;

/// Connects, and hangs up.
///
/// # Errors
/// When nobody listens.
pub async fn ask(server: &HttpUrl) -> Result<(), ExchangeError> {
    TcpStream::connect((server.host(), server.port())).await.map(drop).map_err(ExchangeError::Connect)
}
