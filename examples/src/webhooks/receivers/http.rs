//! As much of HTTP/1.1 as a receiver needs: reading a webhook request, writing an answer.

use std::io::{self, Read};
use std::time::Duration;

const MAX_HEADERS: usize = 64;
const MAX_HEAD: usize = 16 * 1024;
/// GitHub sends no larger payload.
const MAX_BODY: usize = 25 * 1024 * 1024;

/// A webhook request, read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) id: String,
    pub(super) event: String,
    pub(super) body: Vec<u8>,
    pub(super) keep_alive: bool,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error("the client is gone")]
    Gone(#[from] io::Error),
    #[error("not a webhook request: {0}")]
    Malformed(&'static str),
}

impl Request {
    /// Reads the next request, or `None` if the client closed the connection in between. Bytes
    /// that belong to the request after it stay in `buffer`.
    pub(super) fn read(mut stream: impl Read, buffer: &mut Vec<u8>) -> Result<Option<Self>, ReadError> {
        let head = loop {
            if let Some(head) = Head::parse(buffer)? {
                break head;
            }
            if buffer.len() > MAX_HEAD {
                return Err(ReadError::Malformed("its head is too large"));
            }
            if fill(&mut stream, buffer)? == 0 {
                let partial = !buffer.is_empty();
                return if partial { Err(cut_off()) } else { Ok(None) };
            }
        };
        let end = head.length + head.body_length;
        while buffer.len() < end {
            if fill(&mut stream, buffer)? == 0 {
                return Err(cut_off());
            }
        }
        let rest = buffer.split_off(end);
        let body = std::mem::replace(buffer, rest).split_off(head.length);
        Ok(Some(Self { id: head.id, event: head.event, body, keep_alive: head.keep_alive }))
    }
}

fn fill(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut chunk = [0; 8 * 1024];
    loop {
        match stream.read(&mut chunk) {
            Ok(count) => {
                buffer.extend_from_slice(&chunk[..count]);
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn cut_off() -> ReadError {
    ReadError::Gone(io::ErrorKind::UnexpectedEof.into())
}

struct Head {
    length: usize,
    body_length: usize,
    id: String,
    event: String,
    keep_alive: bool,
}

impl Head {
    /// `None` until the whole head is there.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, ReadError> {
        use ReadError::Malformed;

        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(_) => return Err(Malformed("its head is not HTTP")),
        };
        if request.method != Some("POST") {
            return Err(Malformed("its method is not POST"));
        }
        let header = |name: &str| {
            let mut headers = request.headers.iter();
            let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok().map(str::trim)
        };
        if header("Transfer-Encoding").is_some() {
            return Err(Malformed("its body is chunked"));
        }
        // Clients leave the header out when there is no body.
        let body_length = header("Content-Length")
            .unwrap_or("0")
            .parse()
            .map_err(|_| Malformed("its body's length is not a number"))?;
        if body_length > MAX_BODY {
            return Err(Malformed("its body is too large"));
        }
        let keep_alive = request.version == Some(1)
            && !header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok(Some(Self {
            length,
            body_length,
            id: header("X-GitHub-Delivery").ok_or(Malformed("it has no delivery id"))?.to_owned(),
            event: header("X-GitHub-Event").ok_or(Malformed("it names no event"))?.to_owned(),
            keep_alive,
        }))
    }
}

/// An answer. Each has a body, because a client must not call a delivery acknowledged before it
/// has read that too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Response {
    status: u16,
    reason: &'static str,
    retry_after: Option<u64>,
}

impl Response {
    pub(super) const OK: Self = Self::new(200, "OK");
    pub(super) const BAD_REQUEST: Self = Self::new(400, "Bad Request");
    pub(super) const GONE: Self = Self::new(410, "Gone");
    pub(super) const ERROR: Self = Self::new(500, "Internal Server Error");

    const fn new(status: u16, reason: &'static str) -> Self {
        Self { status, reason, retry_after: None }
    }

    /// The header counts whole seconds, so the wait is rounded up: a client that honours it must
    /// not come too early.
    pub(super) fn too_many(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self { retry_after: Some(seconds), ..Self::new(429, "Too Many Requests") }
    }

    pub(super) fn is_success(self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(super) fn encode(self, keep_alive: bool) -> Vec<u8> {
        let body = format!("{}\n", self.reason);
        let retry_after =
            self.retry_after.map_or_else(String::new, |seconds| format!("Retry-After: {seconds}\r\n"));
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
             Connection: {}\r\n{retry_after}\r\n{body}",
            self.status,
            self.reason,
            body.len(),
            if keep_alive { "keep-alive" } else { "close" },
        )
        .into_bytes()
    }
}
