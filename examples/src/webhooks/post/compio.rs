//! Posting on compio: cyper, which is hyper over compio's completion-based sockets.

use std::cell::OnceCell;

use super::{Delivery, Post, PostError, Reply};

thread_local! {
    // cyper's connections live on the thread that made them, and its client panics on any other.
    static HTTP: OnceCell<cyper::Client> = const { OnceCell::new() };
}

/// A key to the calling thread's pool of connections.
///
/// `Send + Sync`, so that a job handler may capture it. The future of [`post`](Self::post) is
/// neither: it stays on the thread that made it.
#[derive(Debug, Clone, Default)]
pub struct Client {
    _private: (),
}

impl Client {
    /// A client; each thread makes its pool when it first posts.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Post for Client {
    async fn post(&self, delivery: &Delivery) -> Result<Reply, PostError> {
        let url = delivery.uri()?.to_string();
        let response = http()?
            .post(url)
            .map_err(PostError::invalid)?
            .headers(delivery.headers()?)
            .body(delivery.body.clone())
            .send()
            .await
            .map_err(PostError::exchange)?;
        let reply = Reply::new(response.status(), response.headers());
        response.bytes().await.map_err(PostError::exchange)?;
        Ok(reply)
    }
}

/// Proxies and redirects are off, as they are in the other two clients.
fn http() -> Result<cyper::Client, PostError> {
    HTTP.with(|cell| {
        if let Some(client) = cell.get() {
            return Ok(client.clone());
        }
        let client = cyper::Client::builder()
            .no_proxy()
            .redirect(cyper::redirect::Policy::none())
            .build()
            .map_err(PostError::connect)?;
        Ok(cell.get_or_init(|| client).clone())
    })
}
