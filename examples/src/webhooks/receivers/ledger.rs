//! What the receivers saw: the other side's account, to hold against the queue's own.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher};

use serde::{Deserialize, Serialize};

use super::behaviour::Behaviour;

/// The accounts of all receivers, in the order in which they were started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// One for each receiver.
    pub accounts: Vec<Account>,
}

impl Ledger {
    /// The account of the receiver with this name.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.name == name)
    }
}

/// What one receiver saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name it was started with.
    pub name: String,
    /// The behaviour it was started with.
    pub behaviour: Behaviour,
    /// By delivery id (`X-GitHub-Delivery`).
    pub deliveries: BTreeMap<String, Record>,
    /// Requests answered with 400 because they were no webhook deliveries.
    pub malformed: u64,
}

impl Account {
    /// Attempts at all deliveries together.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.total(|record| record.attempts)
    }

    /// Acknowledgements of all deliveries together.
    #[must_use]
    pub fn acks(&self) -> u64 {
        self.total(|record| record.acks)
    }

    fn total(&self, count: impl Fn(&Record) -> u32) -> u64 {
        self.deliveries.values().map(|record| u64::from(count(record))).sum()
    }
}

/// What one receiver saw of one delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Complete requests with this delivery's id.
    pub attempts: u32,
    /// Complete 2xx answers to a client that was still there.
    ///
    /// A client that gives up while the answer is on its way has been sent an acknowledgement it
    /// will never read. No receiver can tell, so more than one is legitimate after a timeout.
    pub acks: u32,
    /// Attempts whose client had hung up when the answer was due.
    pub abandoned: u32,
    /// Accepted attempts that found the delivery already processed.
    pub duplicates: u32,
    /// Attempts whose event or body differed from the first attempt's.
    pub altered: u32,
    /// Whether the receiver has done its work for this delivery, acknowledged or not.
    pub processed: bool,
    /// What the first attempt carried.
    pub fingerprint: Fingerprint,
}

impl Record {
    pub(super) fn new(fingerprint: Fingerprint) -> Self {
        Self { attempts: 0, acks: 0, abandoned: 0, duplicates: 0, altered: 0, processed: false, fingerprint }
    }
}

/// Stands for an event and its body, so that what arrived can be compared with what was sent
/// without keeping it all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    event: String,
    length: usize,
    hash: u64,
}

impl Fingerprint {
    /// Equal for equal events and bodies, within one build of the program.
    #[must_use]
    pub fn of(event: &str, body: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(body);
        Self { event: event.to_owned(), length: body.len(), hash: hasher.finish() }
    }
}
