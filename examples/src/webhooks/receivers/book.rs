//! What one receiver remembers: its rate limit and every delivery it has seen.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::behaviour::{Behaviour, Plan, Window};
use super::http::{Request, Response};
use super::ledger::{Account, Fingerprint, Record};
use crate::webhooks::logbook::{Entry, Logbook};

/// A new attempt passes through here before it is answered, and once more with the [`Outcome`].
#[derive(Debug, Default)]
pub(super) struct Book {
    window: Window,
    deliveries: BTreeMap<String, Record>,
    malformed: u64,
    /// Whose book it is, and where it is kept if it is to outlive the process.
    kept: Option<(String, Logbook)>,
}

/// How an attempt ended, as far as a receiver can know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The delivery was accepted, and the whole answer went out to a client that was there.
    Acknowledged,
    /// The client was gone before the answer.
    Abandoned,
}

impl Book {
    /// The book of a receiver, with what it remembers from earlier lives.
    pub(super) fn open(name: &str, logbook: Option<&Logbook>) -> io::Result<Self> {
        let Some(logbook) = logbook else { return Ok(Self::default()) };
        let deliveries = logbook.history()?.books.remove(name).unwrap_or_default();
        Ok(Self { deliveries, kept: Some((name.to_owned(), logbook.clone())), ..Self::default() })
    }

    /// Counts the attempt and decides about it.
    pub(super) fn admit(&mut self, request: &Request, behaviour: Behaviour, now: Instant) -> Plan {
        let fingerprint = Fingerprint::of(&request.event, &request.body);
        let record =
            self.deliveries.entry(request.id.clone()).or_insert_with(|| Record::new(fingerprint.clone()));
        record.attempts += 1;
        if record.fingerprint != fingerprint {
            record.altered += 1;
            self.keep(&request.id);
            return Plan::Answer(Response::BAD_REQUEST);
        }
        let plan = behaviour.plan(record.attempts, &mut self.window, now);
        if plan.accepts() {
            record.duplicates += u32::from(record.processed);
            record.processed = true;
        }
        self.keep(&request.id);
        plan
    }

    pub(super) fn settle(&mut self, id: &str, outcome: Outcome) {
        let Some(record) = self.deliveries.get_mut(id) else {
            return;
        };
        match outcome {
            Outcome::Acknowledged => record.acks += 1,
            Outcome::Abandoned => record.abandoned += 1,
        }
        self.keep(id);
    }

    fn keep(&self, id: &str) {
        if let (Some((name, logbook)), Some(record)) = (&self.kept, self.deliveries.get(id)) {
            let (receiver, delivery) = (name.clone(), id.to_owned());
            logbook.note(Entry::Seen { receiver, delivery, record: record.clone() });
        }
    }

    pub(super) fn count_malformed(&mut self) {
        self.malformed += 1;
    }

    pub(super) fn account(&self, name: String, behaviour: Behaviour) -> Account {
        Account { name, behaviour, deliveries: self.deliveries.clone(), malformed: self.malformed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(body: &str) -> Request {
        Request {
            id: "1".to_owned(),
            event: "ping".to_owned(),
            body: body.as_bytes().to_vec(),
            keep_alive: true,
        }
    }

    #[allow(clippy::disallowed_methods, reason = "any starting point will do")]
    fn now() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_lost_acknowledgement_makes_the_next_attempt_a_duplicate() {
        let mut book = Book::default();
        book.admit(&request("{}"), Behaviour::Hangup, now());
        assert!(book.deliveries["1"].processed, "though nobody knows yet");
        book.admit(&request("{}"), Behaviour::Hangup, now());
        book.settle("1", Outcome::Acknowledged);
        let record = &book.deliveries["1"];
        assert_eq!((record.attempts, record.acks, record.duplicates), (2, 1, 1));
    }

    #[test]
    fn a_failed_attempt_processes_nothing() {
        let mut book = Book::default();
        book.admit(&request("{}"), Behaviour::Broken, now());
        book.admit(&request("{}"), Behaviour::Broken, now());
        let record = &book.deliveries["1"];
        assert!(!record.processed);
        assert_eq!((record.attempts, record.duplicates), (2, 0));
    }

    #[test]
    fn another_body_under_a_known_id_is_refused_and_counted() {
        let mut book = Book::default();
        book.admit(&request("{}"), Behaviour::Healthy, now());
        let plan = book.admit(&request("[]"), Behaviour::Healthy, now());
        assert_eq!(plan, Plan::Answer(Response::BAD_REQUEST));
        assert_eq!(book.deliveries["1"].altered, 1);
    }
}
