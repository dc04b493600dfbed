//! The memory store: the jobs of one named queue, as a state machine.
//!
//! It has no clock, no async, no randomness and no lock: `now` is an argument, and its owner (`engine/channel.rs`)
//! keeps it behind a mutex. What must hold after every call:
//!
//! - every job is in exactly one place: a lane (ready), the wheel (delayed), with a worker (running), or among the
//!   dead letters;
//! - every change of state is one that [`transition`] allows;
//! - an attempt is settled by who holds its [`Lease`], once; a stale lease changes nothing;
//! - nothing of the user's is dropped in here: what a job leaves behind is handed out as [`Remains`].

mod dead_letters;
mod entry;
mod index;
mod lanes;
mod log;
#[cfg(any(test, fuzzing))]
pub(crate) mod model;
#[cfg(any(test, fuzzing))]
pub(crate) mod sample;
mod slab;
mod transition;
mod wheel;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

pub(crate) use dead_letters::{Dead, DeadLetters, DeadLimits};
pub(crate) use entry::{Entry, Extras};
pub(crate) use index::INDEX_PAGE;
use index::Index;
use lanes::Lanes;
pub(crate) use log::Log;
use slab::{NONE, Slab};
use transition::{State, Verb};
use wheel::{Item, Place, Places, Step, Wheel};

use crate::dead::{DeadJob, DeadReason};
use crate::job::{JobId, Name, Priority};
use crate::journal::Record;
use crate::payload::Payload;
use crate::registry::Kind;

#[derive(Debug)]
pub(crate) struct Store {
    queue: Name,
    epoch: Instant,
    entries: Slab<Entry>,
    index: Index,
    lanes: Lanes,
    wheel: Wheel,
    /// By worker, the rank of the job that it runs with a deadline: there is one at most.
    armed: Vec<u32>,
    dead: DeadLetters,
    counts: Counts,
    /// What is to be recorded, if the jobs outlive the process.
    pub(crate) log: Option<Box<Log>>,
}

/// How many jobs are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) ready: usize,
    pub(crate) delayed: usize,
    pub(crate) running: usize,
    /// Payload bytes of ready and delayed jobs.
    pub(crate) waiting_bytes: usize,
}

impl Counts {
    pub(crate) fn waiting(self) -> usize {
        self.ready + self.delayed
    }

    #[inline]
    fn add(&mut self, state: State, bytes: usize) {
        match state {
            State::Ready => self.ready += 1,
            State::Delayed => self.delayed += 1,
            State::Running => return self.running += 1,
            State::Dead | State::Gone => return,
        }
        self.waiting_bytes += bytes;
    }

    #[inline]
    fn remove(&mut self, state: State, bytes: usize) {
        match state {
            State::Ready => self.ready -= 1,
            State::Delayed => self.delayed -= 1,
            State::Running => return self.running -= 1,
            State::Dead | State::Gone => return,
        }
        self.waiting_bytes -= bytes;
    }
}

/// When a job may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    At(Instant),
    /// Past the end of time: held, and harms nobody.
    Never,
}

impl When {
    pub(crate) fn after(delay: Duration, now: impl FnOnce() -> Instant) -> Self {
        if delay.is_zero() {
            return Self::Now;
        }
        now().checked_add(delay).map_or(Self::Never, Self::At)
    }
}

/// The right to settle one attempt: it is good once, and for this attempt only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) key: u32,
    pub(crate) id: JobId,
    pub(crate) attempt: u32,
}

/// A job on its way to a handler.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) lease: Lease,
    pub(crate) kind: Kind,
    pub(crate) priority: Priority,
    pub(crate) payload: Payload,
    /// What a worker needs of its extras.
    pub(crate) extras: Option<Box<Extras>>,
}

impl Claim {
    /// A place for one.
    pub(crate) fn vacant() -> Self {
        Self {
            lease: Lease { key: NONE, id: JobId::new(0), attempt: 0 },
            kind: Kind::UNKNOWN,
            priority: Priority::default(),
            payload: Payload::empty(),
            extras: None,
        }
    }
}

/// How an attempt is settled.
#[derive(Debug)]
pub(crate) enum Settle {
    Done,
    Cancel,
    Retry { when: When, failure: Box<Failure> },
    Snooze { when: When },
    HandBack,
    Bury { name: Name, reason: DeadReason, failure: Box<Failure> },
}

/// What went wrong in an attempt; boxed, because most go well and every ending is moved.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: String,
    pub(crate) at: SystemTime,
}

impl Settle {
    fn verb(&self) -> Verb {
        match self {
            Self::Done => Verb::Done,
            Self::Cancel => Verb::Cancel,
            Self::Retry { .. } => Verb::Retry,
            Self::Snooze { .. } => Verb::Snooze,
            Self::HandBack => Verb::HandBack,
            Self::Bury { .. } => Verb::Bury,
        }
    }
}

/// What a settled attempt leaves behind.
#[derive(Debug)]
#[must_use = "drop it outside of the lock"]
pub(crate) enum Settled {
    /// The job waits for its next attempt.
    Kept,
    /// The job is gone.
    Gone(Leftovers),
    /// The job is a dead letter, and these older ones had to make room.
    Buried { evicted: Vec<Dead> },
}

/// What is to be dropped of a job that is done: nothing, for most.
pub(crate) type Leftovers = (Option<Arc<[u8]>>, Option<Box<Extras>>);

/// What a job that is gone leaves behind. It may hold values whose `Drop` is the user's, so it is dropped by the
/// caller, outside of the lock.
#[derive(Debug)]
#[must_use = "drop it outside of the lock"]
pub(crate) struct Remains {
    pub(crate) id: JobId,
    pub(crate) attempt: u32,
    pub(crate) kind: Kind,
    pub(crate) priority: Priority,
    pub(crate) payload: Payload,
    pub(crate) extras: Option<Box<Extras>>,
}

/// The lease is not the current one: the attempt was settled before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stale;

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A delayed job became ready.
    Released,
    /// The attempt that this worker runs has used up its time.
    TimedOut { worker: u32 },
}

impl Store {
    pub(crate) fn new(queue: Name, epoch: Instant, dead: DeadLimits) -> Self {
        Self {
            queue,
            epoch,
            entries: Slab::new(),
            index: Index::default(),
            lanes: Lanes::new(),
            wheel: Wheel::default(),
            armed: Vec::new(),
            dead: DeadLetters::new(dead),
            counts: Counts::default(),
            log: None,
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// The priorities of what is ready, a bit for each.
    pub(crate) fn ready_lanes(&self) -> u16 {
        self.lanes.occupied()
    }

    pub(crate) fn dead(&self) -> &DeadLetters {
        &self.dead
    }

    /// Adds a job: to the back of its lane, or to the wheel.
    pub(crate) fn push(&mut self, mut entry: Entry, when: When) {
        let state = if when == When::Now { State::Ready } else { State::Delayed };
        self.take_in(state, &mut entry.payload);
        let id = entry.id;
        let key = self.entries.insert(entry);
        // Not before it is where it stays: see `hand_out`.
        self.entries[key].set_state(state);
        self.index.insert(id, key);
        self.enter(key, when);
    }

    /// Adds a job that is ready and brings nothing of its own: `push` for the common case. What is left of its payload is not
    /// to be read.
    // Its record is looked up once: each time more was 10 instructions of 205.
    #[inline]
    pub(crate) fn push_plain(&mut self, id: JobId, kind: Kind, priority: Priority, payload: &mut Payload) {
        self.take_in(State::Ready, payload);
        let previous = self.lanes.tail(priority);
        let key = if let Some(key) = self.entries.occupy() {
            let entry = &mut self.entries[key];
            entry.fill(id, kind, priority, payload);
            entry.set_neighbours(NONE, previous);
            key
        } else {
            // To write a vacant one first, and fill that, took a push into new memory 6 ns more.
            self.entries.append(|| Entry::ready(id, kind, priority, payload.take(), previous))
        };
        self.lanes.extend(priority, key, &mut self.entries);
        self.index.insert(id, key);
    }

    /// A job is new here: counts it, and leaves its payload in the journal if it is too much to keep.
    #[inline]
    fn take_in(&mut self, state: State, payload: &mut Payload) {
        self.counts.add(state, payload.size());
        if let Some(log) = &mut self.log {
            log.make_room(payload);
        }
    }

    /// Takes the job whose turn it is, for `worker`.
    #[inline]
    pub(crate) fn claim(&mut self, worker: u32) -> Option<Lease> {
        let key = self.lanes.pop(&mut self.entries)?;
        let entry = &mut self.entries[key];
        step(entry, &mut self.counts, Verb::Claim);
        if let Some(log) = &mut self.log {
            log.record(Record::Started { id: entry.id });
        }
        entry.set_worker(worker);
        Some(entry.lease(key))
    }

    /// What the worker must know of a job that it has claimed. Written to where it stays: a claim that is moved just after it
    /// was put together has to reach the cache first, which was a third of what claiming took.
    #[inline]
    pub(crate) fn hand_out(&self, lease: Lease, claim: &mut Claim) {
        debug_assert!(claim.extras.is_none(), "its place is not vacant");
        let entry = &self.entries[lease.key];
        // From the entry, as all of it: the one that came here was only just put together.
        claim.lease = entry.lease(lease.key);
        claim.kind = entry.kind();
        claim.priority = entry.priority();
        claim.payload.clone_from(&entry.payload);
        if let Some(extras) = &entry.extras {
            claim.extras = extras.for_worker();
        }
    }

    /// The payload of a claimed job was loaded: it stays in memory while the attempt lasts.
    pub(crate) fn provide(&mut self, lease: Lease, payload: Payload) {
        if self.is_current(lease) {
            if let Some(log) = &mut self.log {
                log.hold(&payload);
            }
            self.entries[lease.key].payload = payload;
        }
    }

    /// Gives a claimed job to another worker, unless it is armed: then its attempt has begun.
    pub(crate) fn take_over(&mut self, lease: Lease, worker: u32) -> Option<Lease> {
        let is_unarmed = self.is_current(lease) && !self.entries[lease.key].is_armed();
        if is_unarmed {
            self.entries[lease.key].set_worker(worker);
        }
        is_unarmed.then_some(lease)
    }

    /// Lets the claimed attempt run until `deadline`; past it, [`advance`](Self::advance) names its worker, which runs no
    /// other. A deadline that was set before stands.
    pub(crate) fn arm(&mut self, lease: Lease, deadline: Instant) {
        if !self.is_current(lease) || self.entries[lease.key].is_armed() {
            return;
        }
        let due = self.nanos(deadline);
        let entry = &mut self.entries[lease.key];
        let (worker, rank) = (entry.worker(), entry.rank());
        entry.set_armed(true);
        let index = worker as usize;
        if self.armed.len() <= index {
            self.armed.resize(index + 1, 0);
        }
        self.armed[index] = rank;
        self.wheel.insert(Item { due, key: lease.key, tag: worker }, &mut self.entries);
    }

    /// Ends an attempt that succeeded: `settle` for the common case.
    #[inline]
    pub(crate) fn complete(&mut self, lease: Lease, leftovers: &mut Vec<Leftovers>) -> Result<(), Stale> {
        let entry = self.entries.get_mut(lease.key).filter(|entry| entry.is_held_by(lease)).ok_or(Stale)?;
        if entry.is_armed() {
            self.disarm(lease.key);
            return self.complete(lease, leftovers);
        }
        step(entry, &mut self.counts, Verb::Done);
        if let Some(log) = &mut self.log {
            log.record(Record::Done { id: lease.id });
        }
        let left = strip(entry, &mut self.log);
        // Most jobs leave nothing.
        if left.0.is_some() || left.1.is_some() {
            leftovers.push(left);
        }
        self.index.remove(lease.id);
        self.entries.release(lease.key);
        Ok(())
    }

    /// Ends an attempt, if `lease` is its current one.
    pub(crate) fn settle(&mut self, lease: Lease, settle: Settle) -> Result<Settled, Stale> {
        if !self.is_current(lease) {
            return Err(Stale);
        }
        let key = lease.key;
        self.disarm(key);
        self.step(key, settle.verb());
        if let Some(log) = &mut self.log {
            log.record_settle(lease, &settle);
        }
        Ok(match settle {
            Settle::Done | Settle::Cancel => Settled::Gone(self.release(key)),
            Settle::HandBack => {
                self.make_room(key);
                self.lanes.put_back(key, &mut self.entries);
                Settled::Kept
            }
            Settle::Snooze { when } => {
                self.wait(key, when);
                Settled::Kept
            }
            Settle::Retry { when, failure } => {
                let entry = &mut self.entries[key];
                entry.remember(*failure);
                entry.attempt = entry.attempt.saturating_add(1);
                self.wait(key, when);
                Settled::Kept
            }
            Settle::Bury { name, reason, failure } => {
                self.entries[key].remember(Failure::clone(&failure));
                let remains = self.vacate(key);
                Settled::Buried { evicted: self.bury(remains, name, reason, *failure) }
            }
        })
    }

    /// Does a bounded piece of work for the time `now`: at most `budget` items. Says what became due, one by one, and
    /// returns whether there may be more.
    pub(crate) fn advance(&mut self, now: Instant, budget: usize, mut due: impl FnMut(Due)) -> bool {
        let now = self.nanos(now);
        for _ in 0..budget {
            match self.wheel.advance(now, &mut self.entries) {
                Step::Idle => return false,
                Step::Moved => {}
                Step::Due(item) if self.entries[item.key].state() == State::Delayed => {
                    self.step(item.key, Verb::Release);
                    self.lanes.push_back(item.key, &mut self.entries);
                    due(Due::Released);
                }
                Step::Due(item) => {
                    self.disarmed(item);
                    due(Due::TimedOut { worker: item.tag });
                }
            }
        }
        true
    }

    /// When [`advance`](Self::advance) has something to do next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let nanos = self.wheel.next_due().filter(|nanos| *nanos < u64::MAX)?;
        self.epoch.checked_add(Duration::from_nanos(nanos))
    }

    /// Which worker has claimed a job, and the lease.
    pub(crate) fn worker_of(&self, id: JobId) -> Option<(u32, Lease)> {
        let key = self.index.find(id).filter(|key| self.entries[*key].state() == State::Running)?;
        Some((self.holder(key), self.entries[key].lease(key)))
    }

    /// The kind of a claimed job, and the name it brought if that was unknown when it was pushed.
    pub(crate) fn kind_of(&self, lease: Lease) -> (Kind, Option<Name>) {
        let entry = self.entries.get(lease.key).filter(|_| self.is_current(lease));
        let name = entry.and_then(|entry| entry.extras.as_ref()?.name.clone());
        (entry.map_or(Kind::UNKNOWN, Entry::kind), name)
    }

    /// Removes a waiting job that nobody wants any more.
    pub(crate) fn cancel(&mut self, id: JobId) -> Option<Remains> {
        let key = self.waiting(id)?;
        if let Some(log) = &mut self.log {
            log.record(Record::Cancelled { id });
        }
        Some(self.remove_waiting(key, Verb::Cancel))
    }

    /// Removes a waiting job, to give it back to the caller.
    pub(crate) fn take(&mut self, id: JobId) -> Option<Remains> {
        let key = self.waiting(id)?;
        Some(self.remove_waiting(key, Verb::TakeBack))
    }

    /// Removes every ready job, in the order in which they would have run.
    pub(crate) fn take_ready(&mut self) -> Vec<Remains> {
        let mut taken = Vec::with_capacity(self.counts.ready);
        while let Some(key) = self.lanes.pop(&mut self.entries) {
            self.step(key, Verb::TakeBack);
            taken.push(self.vacate(key));
        }
        taken
    }

    /// Removes every delayed job, in order of id.
    pub(crate) fn take_delayed(&mut self) -> Vec<Remains> {
        let mut keys: Vec<_> =
            self.wheel.keys().filter(|key| self.entries[*key].state() == State::Delayed).collect();
        keys.sort_by_key(|key| self.entries[*key].id);
        keys.into_iter().map(|key| self.remove_waiting(key, Verb::TakeBack)).collect()
    }

    /// Gives the dead letter `id` another life, with its attempts counted from 0 again.
    pub(crate) fn requeue(&mut self, id: JobId) -> bool {
        let Some(dead) = self.dead.take(id) else { return false };
        debug_assert_eq!(transition::next(State::Dead, Verb::Requeue), Some(State::Ready));
        if let Some(log) = &mut self.log {
            log.record(Record::Requeued { id });
        }
        self.push(dead.into_entry(), When::Now);
        true
    }

    /// Drops all dead letters; the caller lets go of them outside of the lock.
    pub(crate) fn purge_dead(&mut self) -> Vec<Dead> {
        debug_assert_eq!(transition::next(State::Dead, Verb::Purge), Some(State::Gone));
        let purged = self.dead.take_all();
        self.drop_dead(&purged);
        purged
    }

    /// Takes in a dead letter of an earlier run, and gives back those that had to make room.
    pub(crate) fn restore_dead(&mut self, dead: Dead) -> Vec<Dead> {
        let evicted = self.dead.push(dead);
        self.drop_dead(&evicted);
        evicted
    }

    /// Which jobs run, and on which worker.
    pub(crate) fn running(&self) -> impl Iterator<Item = (JobId, u32)> {
        let running = self.index.iter().filter(|(_, key)| self.entries[*key].state() == State::Running);
        running.map(|(id, key)| (id, self.holder(key)))
    }

    fn waiting(&self, id: JobId) -> Option<u32> {
        self.index.find(id).filter(|key| self.entries[*key].state() != State::Running)
    }

    /// Dead letters that are gone for good.
    fn drop_dead(&mut self, gone: &[Dead]) {
        let Some(log) = &mut self.log else { return };
        for dead in gone {
            log.record(Record::Dropped { id: dead.job.id });
        }
    }

    fn bury(&mut self, remains: Remains, name: Name, reason: DeadReason, failure: Failure) -> Vec<Dead> {
        let mut extras = remains.extras;
        let job = DeadJob {
            id: remains.id,
            name,
            queue: self.queue.clone(),
            payload: remains.payload,
            priority: remains.priority,
            attempts: attempts_made(remains.attempt, reason),
            error: failure.error,
            reason,
            failed_at: failure.at,
            history: extras.as_mut().map(|extras| std::mem::take(&mut extras.history)).unwrap_or_default(),
        };
        self.restore_dead(Dead::new(job, remains.kind, extras))
    }

    fn step(&mut self, key: u32, verb: Verb) {
        step(&mut self.entries[key], &mut self.counts, verb);
    }

    /// A delayed job starts to wait; one without a delay goes straight on to the back of its lane.
    fn wait(&mut self, key: u32, when: When) {
        if when == When::Now {
            self.step(key, Verb::Release);
        }
        self.make_room(key);
        self.enter(key, when);
    }

    /// A job waits again: its payload does so in the journal, if it is too much to keep.
    fn make_room(&mut self, key: u32) {
        if let Some(log) = &mut self.log {
            let payload = &mut self.entries[key].payload;
            log.let_go(payload);
            log.make_room(payload);
        }
    }

    #[inline]
    fn enter(&mut self, key: u32, when: When) {
        let due = match when {
            When::Now => return self.lanes.push_back(key, &mut self.entries),
            When::At(due) => self.nanos(due),
            When::Never => u64::MAX,
        };
        self.wheel.insert(Item { due, key, tag: 0 }, &mut self.entries);
    }

    fn remove_waiting(&mut self, key: u32, verb: Verb) -> Remains {
        if self.entries[key].state() == State::Ready {
            self.lanes.remove(key, &mut self.entries);
        } else {
            self.wheel.remove(self.entries[key].place(), &mut self.entries);
        }
        self.step(key, verb);
        self.vacate(key)
    }

    fn is_current(&self, lease: Lease) -> bool {
        self.entries.get(lease.key).is_some_and(|entry| entry.is_held_by(lease))
    }

    fn holder(&self, key: u32) -> u32 {
        let entry = &self.entries[key];
        if entry.is_armed() {
            return self.wheel.get(entry.place()).map_or(NONE, |item| item.tag);
        }
        entry.worker()
    }

    fn disarm(&mut self, key: u32) {
        if self.entries[key].is_armed() {
            let item = self.wheel.remove(self.entries[key].place(), &mut self.entries);
            self.disarmed(item);
        }
    }

    /// A deadline has left the wheel: its job has again what it had before.
    fn disarmed(&mut self, Item { key, tag: worker, .. }: Item) {
        let entry = &mut self.entries[key];
        entry.set_armed(false);
        entry.set_worker(worker);
        entry.set_rank(self.armed[worker as usize]);
    }

    /// Frees a job's record without moving it.
    #[inline]
    fn release(&mut self, key: u32) -> Leftovers {
        let entry = &mut self.entries[key];
        let leftovers = strip(entry, &mut self.log);
        self.index.remove(entry.id);
        self.entries.release(key);
        leftovers
    }

    fn vacate(&mut self, key: u32) -> Remains {
        let entry = self.entries.remove(key);
        if let Some(log) = &mut self.log {
            log.let_go(&entry.payload);
        }
        self.index.remove(entry.id);
        Remains {
            id: entry.id,
            attempt: entry.attempt,
            kind: entry.kind(),
            priority: entry.priority(),
            payload: entry.payload,
            extras: entry.extras,
        }
    }

    fn nanos(&self, instant: Instant) -> u64 {
        let since = instant.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The one place where a job changes its state, and the counts with it. Inlined, because with the verb known most of the
/// table goes: out of line it was 65 instructions, twice per job.
#[inline]
fn step(entry: &mut Entry, counts: &mut Counts, verb: Verb) {
    let (from, bytes) = (entry.state(), entry.payload.size());
    let Some(to) = transition::next(from, verb) else { forbidden(from, verb) };
    entry.set_state(to);
    counts.remove(from, bytes);
    counts.add(to, bytes);
}

/// Takes what is to be dropped out of a record that is about to be freed.
#[inline]
fn strip(entry: &mut Entry, log: &mut Option<Box<Log>>) -> Leftovers {
    if let Some(log) = log {
        log.let_go(&entry.payload);
    }
    (entry.payload.take_shared(), entry.extras.take())
}

#[cold]
fn forbidden(from: State, verb: Verb) -> ! {
    panic!("{verb:?} does not apply to a {from:?} job")
}

/// How many attempts were made of a job that is buried after this one.
fn attempts_made(attempt: u32, reason: DeadReason) -> u32 {
    attempt.saturating_add(u32::from(reason != DeadReason::NoHandler))
}

impl Places for Slab<Entry> {
    fn placed(&mut self, key: u32, place: Place) {
        self[key].set_place(place);
    }

    fn order(&self, key: u32) -> u64 {
        self[key].id.as_u64()
    }
}

#[cfg(test)]
mod tests;
