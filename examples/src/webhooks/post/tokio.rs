//! Posting on tokio: hyper with hyper-util's pooling client.

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::{Delivery, Post, PostError, Reply};

/// Clones share one pool of connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
}

impl Client {
    /// A client with an empty pool; connects on first use, on the tokio runtime it is then on.
    #[must_use]
    pub fn new() -> Self {
        Self { http: legacy::Client::builder(TokioExecutor::new()).build_http() }
    }
}

impl Post for Client {
    async fn post(&self, delivery: &Delivery) -> Result<Reply, PostError> {
        let response = self.http.request(delivery.request()?).await.map_err(PostError::exchange)?;
        Reply::receive(response).await
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}
