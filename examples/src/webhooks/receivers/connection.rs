//! One connection: reads requests until the client has had enough, and answers as planned.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::Shared;
use super::behaviour::Plan;
use super::book::{Book, Outcome};
use super::http::{ReadError, Request, Response};

/// An answer fits into any socket buffer; a client that reads nothing must not hold up `stop`.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER: Duration = Duration::from_millis(200);
const LINGER_BYTES: u64 = 64 * 1024 * 1024;

/// Returns when the connection is over, whoever ended it.
pub(super) fn serve(stream: &TcpStream, shared: &Shared) {
    let mut buffer = Vec::new();
    if stream.set_write_timeout(Some(WRITE_TIMEOUT)).is_err() {
        return;
    }
    while !shared.is_stopping() {
        let request = match Request::read(stream, &mut buffer) {
            Ok(Some(request)) => request,
            Ok(None) | Err(ReadError::Gone(_)) => return,
            Err(ReadError::Malformed(_)) => {
                shared.with_book(Book::count_malformed);
                refuse(stream);
                return;
            }
        };
        let plan = shared.with_book(|book| book.admit(&request, shared.behaviour, now()));
        match carry_out(&plan, stream, request.keep_alive) {
            Ok(Ended::Answered) if plan.accepts() => {
                shared.with_book(|book| book.settle(&request.id, Outcome::Acknowledged));
            }
            Ok(Ended::Answered) => {}
            Ok(Ended::CutShort) => return,
            Err(_) => {
                shared.with_book(|book| book.settle(&request.id, Outcome::Abandoned));
                return;
            }
        }
        if !request.keep_alive {
            return;
        }
    }
}

enum Ended {
    Answered,
    CutShort,
}

/// An error means that the client is gone and has no answer.
fn carry_out(plan: &Plan, mut stream: &TcpStream, keep_alive: bool) -> io::Result<Ended> {
    let (response, delay) = match plan {
        Plan::Answer(response) => (response, Duration::ZERO),
        Plan::AnswerAfter(delay, response) => (response, *delay),
        Plan::CutShort(response) => {
            let bytes = response.encode(keep_alive);
            stream.write_all(&bytes[..bytes.len() - 1])?;
            return Ok(Ended::CutShort);
        }
    };
    stay_connected(stream, delay)?;
    stream.write_all(&response.encode(keep_alive))?;
    Ok(Ended::Answered)
}

/// Waits, unless the client hangs up first.
///
/// Looked at before every answer: the system accepts bytes for a connection that the client has
/// closed, so a successful write alone would count acknowledgements that nobody can have read.
/// A client that only closes its sending half is taken for gone too; none of ours does.
fn stay_connected(stream: &TcpStream, delay: Duration) -> io::Result<()> {
    let start = now();
    loop {
        let left = delay.saturating_sub(now().saturating_duration_since(start));
        match peek(stream, left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => return Ok(()),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => return Ok(()),
                // A read with a timeout is not resumed when the process was stopped and goes on.
                io::ErrorKind::Interrupted => {}
                _ => return Err(error),
            },
        }
    }
}

fn peek(stream: &TcpStream, patience: Duration) -> io::Result<usize> {
    if patience.is_zero() {
        stream.set_nonblocking(true)?;
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        peeked
    } else {
        stream.set_read_timeout(Some(patience))?;
        let peeked = stream.peek(&mut [0]);
        stream.set_read_timeout(None)?;
        peeked
    }
}

/// Where the next request would begin is unknown after a malformed one, so this ends the
/// connection. What the client is still sending is read and thrown away: closing a socket with
/// unread bytes resets the connection, and the client might never see the answer.
fn refuse(mut stream: &TcpStream) {
    let said = stream
        .write_all(&Response::BAD_REQUEST.encode(false))
        .and_then(|()| stream.shutdown(Shutdown::Write))
        .and_then(|()| stream.set_read_timeout(Some(LINGER)));
    if said.is_ok() {
        // Fails when the client says nothing for a while, which is as good as its hanging up.
        let _ = io::copy(&mut stream.take(LINGER_BYTES), &mut io::sink());
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "receivers stand for other machines, which have clocks of their own"
)]
fn now() -> Instant {
    Instant::now()
}
