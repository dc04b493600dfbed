//! The queue's side of the journal: what is on its way to it, what became of it, and the time it is kept in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::channel::{Channel, ChannelState};
use super::closing::Phase;
use super::{Core, Effects, Submission};
use crate::event::Event;
use crate::job::{Content, JobId, Name};
use crate::journal::{
    Ack, Arrival, Change, Health, JobRecord, Journal, Loading, Receipt, Record, StoreError, StoreTime,
    StoredOptions, block_on, unanswered,
};
use crate::payload::Payload;
use crate::registry::Kind;
use crate::remote::Pump;
use crate::runtime::Clock;
use crate::store::{Entry, Extras, Lease, When};
use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering};

/// What a queue has whose jobs outlive the process.
pub(crate) struct Durable {
    pub(super) journal: Arc<dyn Journal>,
    /// If the jobs are in a remote store: the journal, as what it is.
    pub(super) pump: Option<Arc<Pump>>,
    pub(super) time: Arc<StoreTime>,
    /// Changes that were appended and are neither written nor given up.
    unwritten: AtomicUsize,
    is_out: AtomicBool,
    is_closed: AtomicBool,
    health: Mutex<Health>,
    /// Jobs of named queues that this program does not have.
    pub(super) strays: AtomicUsize,
}

/// Where the jobs are that outlive the process.
pub(crate) enum Backing {
    /// In this process, and recorded.
    Journal(Arc<dyn Journal>),
    /// Elsewhere.
    Remote(Arc<Pump>),
}

/// An accepted job, or one that will be once its record is written.
#[derive(Debug)]
pub(crate) enum Accepted {
    Now(JobId),
    Once(Arc<Receipt<Result<JobId, StoreError>>>),
}

/// A payload on its way from the journal.
pub(crate) type PayloadReceipt = Arc<Receipt<Result<Payload, StoreError>>>;

impl Durable {
    pub(super) fn new(backing: Backing, clock: Arc<dyn Clock>) -> Self {
        let (journal, pump): (Arc<dyn Journal>, _) = match backing {
            Backing::Journal(journal) => (journal, None),
            Backing::Remote(pump) => (pump.clone(), Some(pump)),
        };
        Self {
            journal,
            pump,
            time: Arc::new(StoreTime::new(clock)),
            unwritten: AtomicUsize::new(0),
            is_out: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            health: Mutex::new(Health::Well),
            strays: AtomicUsize::new(0),
        }
    }

    /// Whether nothing is on its way to the journal.
    pub(super) fn is_settled(&self) -> bool {
        self.unwritten.load(Ordering::SeqCst) == 0
    }

    pub(super) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::SeqCst)
    }

    fn append(&self, changes: &mut Vec<Change>) {
        if self.is_closed.load(Ordering::SeqCst) {
            changes.clear();
            return;
        }
        self.unwritten.fetch_add(changes.len(), Ordering::SeqCst);
        self.journal.append(changes);
    }
}

impl Core {
    pub(crate) fn is_durable(&self) -> bool {
        self.durable.is_some()
    }

    /// Whether the store cannot be written to.
    pub(super) fn is_out(&self) -> bool {
        self.durable.as_ref().is_some_and(Durable::is_out)
    }

    pub(crate) fn health(&self) -> Health {
        self.durable.as_ref().map_or(Health::Well, |durable| durable.health.lock().clone())
    }

    pub(crate) fn strays(&self) -> usize {
        self.durable.as_ref().map_or(0, |durable| durable.strays.load(Ordering::Relaxed))
    }

    /// The time of the store; without one, the wall clock.
    pub(crate) fn store_time(&self) -> SystemTime {
        self.durable.as_ref().map_or_else(|| self.wall(), |durable| durable.time.moment().1)
    }

    /// Someone is about to wait for what was appended.
    pub(crate) fn flush(&self) {
        self.durable.iter().for_each(|durable| durable.journal.flush());
    }

    /// Blocks until all that was appended was written, or could not be; but not for a remote store, where what this machine
    /// cancelled of what it has in hand is settled like everything else.
    pub(crate) fn wait_until_written(&self) {
        let Some(durable) = self.durable.as_ref().filter(|it| !it.is_closed.load(Ordering::SeqCst)) else {
            return;
        };
        if durable.pump.is_some() {
            return;
        }
        let (promise, receipt) = Receipt::new(|| ());
        durable.append(&mut vec![Change { record: None, ack: Ack::Attempted(promise) }]);
        self.flush();
        block_on(|cx| receipt.poll(cx));
    }

    /// Blocks until the job is written, if it is not yet.
    pub(crate) fn wait_for(&self, accepted: Accepted) -> Result<JobId, StoreError> {
        match accepted {
            Accepted::Now(id) => Ok(id),
            Accepted::Once(receipt) => {
                self.flush();
                block_on(|cx| receipt.poll(cx))
            }
        }
    }

    pub(crate) fn load(&self, id: JobId) -> Option<PayloadReceipt> {
        let (loading, receipt) = Loading::new(id);
        self.durable.as_ref()?.journal.load(loading);
        Some(receipt)
    }

    /// Lets go of the store's files, unless an attempt that is still running may have something to record.
    pub(crate) fn close_journal(&self, is_over: bool) {
        if let Some(durable) = self.durable.as_ref().filter(|_| is_over) {
            durable.is_closed.store(true, Ordering::SeqCst);
            durable.journal.close();
        }
    }

    /// The journal has written these changes.
    pub(crate) fn changes_written(&self, changes: Vec<Change>) {
        let Some(durable) = &self.durable else { return };
        let count = changes.len();
        let mut arrivals: BTreeMap<usize, Vec<(JobRecord, Arrival)>> = BTreeMap::new();
        let (mut events, mut waiting) = (Vec::new(), Vec::new());
        for Change { record, ack } in changes {
            match (ack, record) {
                (Ack::Push(arrival), Some(Record::Pushed(job))) => {
                    arrivals.entry(arrival.channel).or_default().push((*job, arrival));
                }
                (Ack::Publish(event), _) => events.push(event),
                (Ack::Attempted(promise), _) => waiting.push(promise),
                (Ack::Nobody | Ack::Push(_), _) => {}
            }
        }
        if durable.is_out.swap(false, Ordering::SeqCst) {
            *durable.health.lock() = Health::Well;
            self.events.record(&Event::StoreRecovered);
            for channel in self.channels() {
                channel.with(self, |state, effects| channel.wake_workers(state, usize::MAX, effects));
            }
        }
        for (channel, arrivals) in arrivals {
            self.channel(channel).arrive(self, arrivals);
        }
        for event in events {
            self.events.record(&event);
        }
        if self.events.any() {
            self.events.notify();
        }
        for promise in waiting {
            promise.keep(());
        }
        self.changes_left(durable, count);
    }

    /// The journal could not write, for this reason; without one, it only would not take some pushes. `turned_away` are the
    /// pushes among what it gave up: their channels and bytes.
    pub(crate) fn changes_failed(
        &self,
        turned_away: impl Iterator<Item = (usize, usize)>,
        given_up: usize,
        error: Option<&StoreError>,
    ) {
        let Some(durable) = &self.durable else { return };
        if let Some(error) = error {
            self.store_failed(error);
        }
        for (channel, bytes) in turned_away {
            let channel = self.channel(channel);
            channel.with(self, |state, effects| {
                state.writing.take(bytes);
                channel.grant_room(state, effects);
            });
        }
        self.changes_left(durable, given_up);
    }

    /// Nothing is started until something is written again.
    pub(crate) fn store_failed(&self, error: &StoreError) {
        let Some(durable) = &self.durable else { return };
        if durable.is_out.swap(true, Ordering::SeqCst) {
            return;
        }
        *durable.health.lock() = Health::Outage { error: error.clone(), since: self.wall() };
        if self.events.any() {
            self.events.record(&Event::StoreFailed { error: error.to_string() });
            self.events.notify();
        }
    }

    fn changes_left(&self, durable: &Durable, count: usize) {
        if durable.unwritten.fetch_sub(count, Ordering::SeqCst) == count {
            self.closing.notify();
        }
    }
}

impl Channel {
    /// After a change, and still under its lock: hands over what it recorded, and what there is to tell of it.
    #[inline]
    pub(super) fn hand_over(&self, core: &Core, state: &mut ChannelState, effects: &mut Effects) {
        if let Some(durable) = &core.durable {
            self.hand_over_to(durable, state, effects);
        }
    }

    fn hand_over_to(&self, durable: &Durable, state: &mut ChannelState, effects: &mut Effects) {
        if let Some(pump) = &durable.pump {
            pump.set_room(self.index, self.room(state));
        }
        let Some(log) = &mut state.store.log else { return };
        let notes = effects.take_notes().into_iter();
        log.changes.extend(notes.map(|event| Change { record: None, ack: Ack::Publish(Box::new(event)) }));
        if !log.changes.is_empty() {
            durable.append(&mut log.changes);
        }
    }

    /// Sends a job that was admitted to the journal. It waits in the store once it is written; its room is taken from now on.
    pub(super) fn write(&self, core: &Core, state: &mut ChannelState, job: &Submission<'_>) -> Accepted {
        let Content { payload, options } = &*job.content;
        let id = core.numbers.one();
        let when = job.when(core);
        let (promise, receipt) = Receipt::new(|| Err(unanswered()));
        let overrides = options.overrides.as_ref().filter(|overrides| overrides.outlive_push());
        let record = JobRecord {
            id,
            queue: self.config.name.clone(),
            kind: core.kind_name(job.kind).unwrap_or_else(|| Name::from(job.name)),
            priority: options.priority,
            due: state.store.log.as_ref().and_then(|log| log.due(when)),
            payload: payload.clone(),
            options: overrides.map(|overrides| StoredOptions(overrides.clone())),
        };
        state.writing.add(record.payload.len());
        let arrival = Arrival { channel: self.index, kind: job.kind, when, promise };
        if let Some(log) = &mut state.store.log {
            let record = Some(Record::Pushed(Box::new(record)));
            log.changes.push(Change { record, ack: Ack::Push(arrival) });
        }
        Accepted::Once(receipt)
    }

    /// These jobs are written: they wait for a worker from now on.
    fn arrive(&self, core: &Core, arrivals: Vec<(JobRecord, Arrival)>) {
        let mut promises = Vec::with_capacity(arrivals.len());
        self.with(core, |state, effects| {
            let before = state.store.counts().ready;
            for (job, arrival) in arrivals {
                state.writing.take(job.payload.len());
                promises.push((job.id, arrival.promise));
                if core.events.any() {
                    core.events.record(&Event::Pushed(self.info(job.id, job.kind.clone(), 0)));
                }
                if core.is_remote() {
                    // Whoever claims it has it, which need not be here.
                    continue;
                }
                if state.phase >= Phase::Cancelling
                    || (state.phase != Phase::Open && arrival.when != When::Now)
                {
                    state.kept += 1;
                    continue;
                }
                let mut entry = Entry::new(job.id, arrival.kind, job.priority, job.payload);
                let name = (arrival.kind == Kind::UNKNOWN).then_some(job.kind);
                let overrides = job.options.map(|StoredOptions(overrides)| overrides);
                if name.is_some() || overrides.is_some() {
                    entry.extras = Some(Box::new(Extras { name, overrides, history: Vec::new() }));
                }
                state.store.push(entry, arrival.when);
            }
            if core.is_remote() {
                self.grant_room(state, effects);
            }
            let added = state.store.counts().ready - before;
            self.wake_workers(state, added, effects);
            self.publish(core, state, effects);
        });
        for (id, promise) in promises {
            promise.keep(Ok(id));
        }
    }

    /// The payload of a claimed job is here.
    pub(crate) fn provide(&self, core: &Core, lease: Lease, payload: Payload) {
        self.with(core, |state, _| state.store.provide(lease, payload));
    }
}

/// Jobs that were admitted and are being written, and their bytes: they take up room.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writing {
    pub(super) jobs: usize,
    pub(super) bytes: usize,
}

impl Writing {
    fn add(&mut self, bytes: usize) {
        self.jobs += 1;
        self.bytes += bytes;
    }

    fn take(&mut self, bytes: usize) {
        self.jobs -= 1;
        self.bytes -= bytes;
    }
}

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Durable")
            .field("journal", &self.journal)
            .field("unwritten", &self.unwritten)
            .finish_non_exhaustive()
    }
}
