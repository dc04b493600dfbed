//! Posting on smol: hyper's client connection over smol's own socket.

use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Uri};
use hyper::client::conn::http1;
use smol::future;
use smol::net::TcpStream;
use smol_hyper::rt::FuturesIo;

use super::{Delivery, Post, PostError, Reply};

/// Makes one connection for each delivery, so there is nothing to share.
#[derive(Debug, Clone, Default)]
pub struct Client {
    _private: (),
}

impl Client {
    /// A client; it holds no resources.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Post for Client {
    async fn post(&self, delivery: &Delivery) -> Result<Reply, PostError> {
        let mut request = delivery.request()?;
        let target = Target::of(request.uri())?;
        *request.uri_mut() = target.path;
        request.headers_mut().insert(HOST, target.authority);
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));

        let stream = TcpStream::connect((target.host, target.port)).await.map_err(PostError::connect)?;
        let (mut sender, connection) =
            http1::handshake(FuturesIo::new(stream)).await.map_err(PostError::exchange)?;

        let exchange = async {
            let response = sender.send_request(request).await;
            Reply::receive(response.map_err(PostError::exchange)?).await
        };
        // Driven here rather than spawned, so that it lives on whichever executor the caller uses
        // and dies with this future. Its errors reach `exchange` as well.
        let transport = async {
            let _ = connection.await;
            future::pending().await
        };
        future::or(exchange, transport).await
    }
}

/// A URL taken apart for a client that connects by itself: hyper's connection puts the URI on the
/// wire as it is given, and a server expects only the path there.
struct Target {
    host: String,
    port: u16,
    authority: HeaderValue,
    path: Uri,
}

impl Target {
    fn of(uri: &Uri) -> Result<Self, PostError> {
        let authority = uri.authority().ok_or_else(|| PostError::invalid("the url names no host"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority.as_str()).map_err(PostError::invalid)?,
            path: path.parse().map_err(PostError::invalid)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Target {
        Target::of(&url.parse().expect("a valid URI")).expect("a URI with a host")
    }

    #[test]
    fn parts_of_a_url() {
        let parts = target("http://127.0.0.1:8080/hooks?a=b");
        assert_eq!((parts.host.as_str(), parts.port), ("127.0.0.1", 8080));
        assert_eq!(parts.authority, "127.0.0.1:8080");
        assert_eq!(parts.path, "/hooks?a=b");
    }

    #[test]
    fn defaults_and_ipv6() {
        let parts = target("http://[::1]");
        assert_eq!((parts.host.as_str(), parts.port), ("::1", 80));
        assert_eq!(parts.path, "/");
    }
}
