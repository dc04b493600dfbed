//! Posting one delivery: the types that the three native clients share.
//!
//! [`tokio::Client`], [`smol::Client`] and [`compio::Client`] are each native to their runtime. None of them has a timeout:
//! the caller gives up by dropping the future, which closes the connection.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use http::uri::{Scheme, Uri};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;

pub mod compio;
mod retry_after;
pub mod smol;
pub mod tokio;

const DELIVERY: HeaderName = HeaderName::from_static("x-github-delivery");
const EVENT: HeaderName = HeaderName::from_static("x-github-event");

/// A native HTTP client: the only part of the program that exists once for each runtime.
pub trait Post {
    /// Posts the delivery and reads the whole answer. Whether the future is `Send` is the client's own affair.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection. The receiver may process the delivery all the same, so a later
    /// attempt must carry the same id.
    ///
    /// # Errors
    ///
    /// [`PostError`] when no complete answer arrived. A status such as 500 is a [`Reply`].
    fn post(&self, delivery: &Delivery) -> impl Future<Output = Result<Reply, PostError>>;
}

/// One webhook on its way to one receiver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Unique for each delivery and the same on every attempt, so that a receiver can recognise
    /// one that it has already processed.
    pub id: String,
    /// The event's name, such as `push`.
    pub event: String,
    /// Where to post it: `http://host:port/path`.
    pub url: String,
    /// The JSON, sent as it is. Cloning is cheap, so retries do not copy it.
    pub body: Bytes,
}

impl Delivery {
    fn headers(&self) -> Result<HeaderMap, PostError> {
        let value = |text: &str| HeaderValue::from_str(text).map_err(PostError::invalid);
        Ok(HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static("webhooks-example")),
            (DELIVERY, value(&self.id)?),
            (EVENT, value(&self.event)?),
        ]))
    }

    /// Checked once for all clients, which would each report a bad URL in another way.
    fn uri(&self) -> Result<Uri, PostError> {
        let uri: Uri = self.url.parse().map_err(PostError::invalid)?;
        if uri.scheme() == Some(&Scheme::HTTP) {
            Ok(uri)
        } else {
            Err(PostError::invalid("the url does not start with http://"))
        }
    }

    fn request(&self) -> Result<http::Request<Full<Bytes>>, PostError> {
        let mut request = http::Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri()?;
        *request.headers_mut() = self.headers()?;
        Ok(request)
    }
}

/// What a receiver answered, once its whole answer has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// How long the receiver asks to be left alone; zero if it named a time that has passed.
    pub retry_after: Option<Duration>,
}

impl Reply {
    fn new(status: http::StatusCode, headers: &HeaderMap) -> Self {
        Self { status: status.as_u16(), retry_after: retry_after::from_headers(headers) }
    }

    /// Reads the body to its end before it says anything: a receiver that hangs up halfway has
    /// not acknowledged the delivery, whatever status its first line had.
    async fn receive(response: http::Response<Incoming>) -> Result<Self, PostError> {
        let (head, mut body) = response.into_parts();
        while let Some(frame) = body.frame().await {
            frame.map_err(PostError::exchange)?;
        }
        Ok(Self::new(head.status, &head.headers))
    }
}

/// Why there is no [`Reply`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostError {
    /// The delivery cannot be sent as an HTTP request at all; trying again is pointless.
    #[error("the delivery is not a valid request")]
    Invalid(#[source] Box<dyn Error + Send + Sync>),
    /// No connection could be made, so the receiver has not seen the delivery.
    #[error("cannot connect to the receiver")]
    Connect(#[source] Box<dyn Error + Send + Sync>),
    /// The operating system gave up on the connection.
    #[error("the connection timed out")]
    Timeout(#[source] Box<dyn Error + Send + Sync>),
    /// The connection ended before the whole answer arrived. The receiver may have processed the
    /// delivery.
    #[error("the receiver closed the connection before its answer was complete")]
    Closed(#[source] Box<dyn Error + Send + Sync>),
    /// The receiver answered something that is not HTTP.
    #[error("the receiver's answer is not HTTP")]
    Protocol(#[source] Box<dyn Error + Send + Sync>),
}

impl PostError {
    fn invalid(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Invalid(source.into())
    }

    fn connect(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Connect(source.into())
    }

    /// Classifies by the causes rather than by the outermost type, because each client wraps the
    /// same hyper and I/O errors in its own.
    fn exchange(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let source = source.into();
        let mut cause: Option<&(dyn Error + 'static)> = Some(&*source);
        while let Some(error) = cause {
            if let Some(wrap) = variant_for(error) {
                return wrap(source);
            }
            cause = error.source();
        }
        Self::Protocol(source)
    }
}

fn variant_for(error: &(dyn Error + 'static)) -> Option<fn(Box<dyn Error + Send + Sync>) -> PostError> {
    if let Some(error) = error.downcast_ref::<legacy::Error>()
        && error.is_connect()
    {
        return Some(PostError::Connect);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>()
        && (error.is_incomplete_message() || error.is_closed() || error.is_canceled())
    {
        return Some(PostError::Closed);
    }
    match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::TimedOut => Some(PostError::Timeout),
        io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Some(PostError::Closed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_io_error_is_classified_wherever_it_is_in_the_chain() {
        let classify = |kind| PostError::exchange(PostError::invalid(io::Error::from(kind)));
        let timeout = classify(io::ErrorKind::TimedOut);
        assert!(matches!(timeout, PostError::Timeout(_)), "{timeout:?}");
        let closed = classify(io::ErrorKind::ConnectionReset);
        assert!(matches!(closed, PostError::Closed(_)), "{closed:?}");
        let other = classify(io::ErrorKind::InvalidData);
        assert!(matches!(other, PostError::Protocol(_)), "{other:?}");
    }
}
