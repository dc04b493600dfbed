//! Webhook receivers that misbehave in the ways real ones do, and keep count of what they saw.
//!
//! ```text
//!   Receivers::start ─┬─ Receiver ── acceptor thread ─┬─ connection thread ─┐
//!                     ├─ Receiver ── acceptor thread  └─ connection thread ─┤ Book
//!                     └─ Receiver (refusing: a port, but no thread yet)     │
//!   Receivers::stop ──── joins them all ─────────────────────────── Ledger ─┘
//! ```
//!
//! They are blocking HTTP/1.1 servers on plain threads, so that they share nothing with the
//! runtime under test: a runtime that stalls cannot stall the receivers that would reveal it.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::{self, JoinHandle};

use socket2::{Domain, SockRef, Socket, Type};

mod behaviour;
mod book;
mod connection;
mod http;
mod ledger;

pub use behaviour::Behaviour;
pub use ledger::{Account, Fingerprint, Ledger, Record};

use super::logbook::Logbook;
use book::Book;

const BACKLOG: i32 = 128;

/// A set of running receivers. Dropping it stops them.
#[derive(Debug)]
pub struct Receivers {
    receivers: Vec<Receiver>,
}

impl Receivers {
    /// Starts one receiver on a loopback port of its own for each name and behaviour.
    ///
    /// When this returns they all accept connections, except those that
    /// [refuse](Behaviour::Refused) until [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// When a port or a thread is not to be had.
    pub fn start<N: Into<String>>(receivers: impl IntoIterator<Item = (N, Behaviour)>) -> io::Result<Self> {
        Self::resume(receivers, None)
    }

    /// The same, with receivers that remember what this logbook says they have seen, and go on noting it there.
    ///
    /// # Errors
    ///
    /// When a port or a thread is not to be had, or the logbook could not be written.
    pub fn resume<N: Into<String>>(
        receivers: impl IntoIterator<Item = (N, Behaviour)>,
        logbook: Option<&Logbook>,
    ) -> io::Result<Self> {
        let receivers = receivers
            .into_iter()
            .map(|(name, behaviour)| {
                let mut receiver = Receiver::bind(name.into(), behaviour, logbook)?;
                if behaviour != Behaviour::Refused {
                    receiver.open()?;
                }
                Ok(receiver)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { receivers })
    }

    /// The names, in the order in which they were given to [`start`](Self::start).
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.receivers.iter().map(|receiver| receiver.shared.name.as_str())
    }

    /// Where to post deliveries for this receiver; `None` if there is no such name.
    #[must_use]
    pub fn url(&self, name: &str) -> Option<String> {
        let mut receivers = self.receivers.iter();
        let receiver = receivers.find(|receiver| receiver.shared.name == name)?;
        Some(format!("http://{}/webhooks", receiver.address))
    }

    /// Lets the [refusing](Behaviour::Refused) receivers accept connections. They do when this
    /// returns; calling it again changes nothing.
    ///
    /// # Errors
    ///
    /// When the system refuses to listen or has no thread left.
    pub fn open(&mut self) -> io::Result<()> {
        self.receivers.iter_mut().try_for_each(Receiver::open)
    }

    /// The counts so far. An acknowledgement is counted just after its last byte is written, so
    /// the client may know of it first; only [`stop`](Self::stop) gives the final counts.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        ledger(self.receivers.iter().map(|receiver| &*receiver.shared))
    }

    /// Closes all connections, joins all threads and returns the final counts. A delivery that
    /// is being answered at this moment counts as abandoned.
    #[must_use]
    pub fn stop(self) -> Ledger {
        let shared: Vec<_> = self.receivers.iter().map(|receiver| Arc::clone(&receiver.shared)).collect();
        drop(self);
        ledger(shared.iter().map(|shared| &**shared))
    }
}

fn ledger<'a>(receivers: impl Iterator<Item = &'a Shared>) -> Ledger {
    Ledger {
        accounts: receivers
            .map(|shared| shared.with_book(|book| book.account(shared.name.clone(), shared.behaviour)))
            .collect(),
    }
}

#[derive(Debug)]
struct Receiver {
    address: SocketAddr,
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// What a receiver's threads work on.
#[derive(Debug)]
struct Shared {
    name: String,
    behaviour: Behaviour,
    book: Mutex<Book>,
    stopping: AtomicBool,
}

impl Receiver {
    /// Takes a port without listening on it: connections are refused, and unlike a port that was
    /// bound once and given back, no other socket can get it meanwhile.
    fn bind(name: String, behaviour: Behaviour, logbook: Option<&Logbook>) -> io::Result<Self> {
        let book = Mutex::new(Book::open(&name, logbook)?);
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let listener = TcpListener::from(socket);
        Ok(Self {
            address: listener.local_addr()?,
            listener: Arc::new(listener),
            shared: Arc::new(Shared { name, behaviour, book, stopping: AtomicBool::new(false) }),
            acceptor: None,
        })
    }

    fn open(&mut self) -> io::Result<()> {
        if self.acceptor.is_some() {
            return Ok(());
        }
        SockRef::from(&*self.listener).listen(BACKLOG)?;
        let listener = Arc::clone(&self.listener);
        let shared = Arc::clone(&self.shared);
        let acceptor = thread::Builder::new()
            .name(format!("receiver {}", shared.name))
            .spawn(move || accept(&listener, &shared))?;
        self.acceptor = Some(acceptor);
        Ok(())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        self.shared.stopping.store(true, Ordering::Release);
        // The acceptor looks at the flag after each connection, so it needs one more. Should that
        // be impossible, a thread left behind is better than one waited for in vain.
        if TcpStream::connect(self.address).is_ok() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn with_book<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        work(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One thread for each connection: a pooled client keeps its connections open, so any smaller
/// number of threads could all be waiting on idle ones. The client's concurrency is the bound.
fn accept(listener: &TcpListener, shared: &Shared) {
    thread::scope(|scope| {
        let mut connections: Vec<Weak<TcpStream>> = Vec::new();
        for stream in listener.incoming() {
            if shared.is_stopping() {
                break;
            }
            let Ok(stream) = stream.map(Arc::new) else {
                // Either the client is gone again or the system is short of something.
                thread::yield_now();
                continue;
            };
            connections.retain(|connection| connection.strong_count() > 0);
            connections.push(Arc::downgrade(&stream));
            // Without a thread to be had, the connection is closed and the client tries again.
            let _ = thread::Builder::new().spawn_scoped(scope, move || {
                connection::serve(&stream, shared);
            });
        }
        for stream in connections.iter().filter_map(Weak::upgrade) {
            // Wakes its thread from a read; fails only if the client was faster.
            let _ = stream.shutdown(Shutdown::Read);
        }
    });
}
