//! Pushes that wait for room, first come, first served.
//!
//! Room that becomes free is *granted* to the longest waiter: it is reserved from then on, and only the waiter's own
//! push, or its drop, uses it up. So nobody overtakes, and a push whose future is dropped never happens.

use std::collections::BTreeMap;
use std::task::Waker;

/// A waiter's place in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

#[derive(Debug, Default)]
pub(crate) struct Waiters {
    next: u64,
    waiting: BTreeMap<Ticket, Waiter>,
    /// Payload bytes of the pushes that have a grant.
    granted: BTreeMap<Ticket, usize>,
    granted_bytes: usize,
}

#[derive(Debug)]
struct Waiter {
    bytes: usize,
    waker: Waker,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Jobs and bytes that are granted and not pushed yet.
    pub(super) fn reserved(&self) -> (usize, usize) {
        (self.granted.len(), self.granted_bytes)
    }

    /// Joins the line, or keeps the place in it with a new waker.
    pub(super) fn wait(&mut self, ticket: Option<Ticket>, bytes: usize, waker: &Waker) -> Ticket {
        let ticket = ticket.unwrap_or_else(|| {
            self.next += 1;
            Ticket(self.next)
        });
        self.waiting.insert(ticket, Waiter { bytes, waker: waker.clone() });
        ticket
    }

    /// Uses up a grant, if there is one.
    pub(super) fn redeem(&mut self, ticket: Ticket) -> bool {
        let Some(bytes) = self.granted.remove(&ticket) else { return false };
        self.granted_bytes -= bytes;
        true
    }

    /// Leaves the line, and gives up a grant.
    pub(super) fn leave(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
        self.redeem(ticket);
    }

    /// Grants room to the first in line if there is room for it beside what is reserved, and gives back its waker.
    pub(super) fn grant(&mut self, has_room: impl FnOnce((usize, usize), usize) -> bool) -> Option<Waker> {
        let bytes = self.waiting.first_key_value()?.1.bytes;
        if !has_room(self.reserved(), bytes) {
            return None;
        }
        let (ticket, waiter) = self.waiting.pop_first()?;
        self.granted.insert(ticket, bytes);
        self.granted_bytes += bytes;
        Some(waiter.waker)
    }

    /// Sends everyone away; they find out why when they look.
    pub(super) fn dismiss(&mut self) -> impl Iterator<Item = Waker> {
        self.granted.clear();
        self.granted_bytes = 0;
        std::mem::take(&mut self.waiting).into_values().map(|waiter| waiter.waker)
    }
}
