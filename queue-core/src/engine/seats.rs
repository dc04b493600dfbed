//! The workers of a channel: who has a seat, who is idle, and what each has claimed.

use std::sync::Arc;
use std::task::Waker;

use crate::progress::{BATCH, Signal, View};
use crate::slot::Slot;
use crate::store::{Claim, Lease};
use crate::sync::ThreadId;

/// Who runs workers where: their count per thread, or under `None` for a runtime that moves them.
pub(super) type Scope = Option<ThreadId>;

#[derive(Default)]
pub(super) struct Seats {
    workers: Vec<Option<Worker>>,
    taken: usize,
    /// Idle workers, the latest last: it is woken first, while its memory is still warm.
    idle: Vec<Idle>,
    /// Workers with more than one lease.
    batches: usize,
    /// Those of them that may have one to spare.
    sharing: usize,
    /// The priorities that they claimed from, a bit for each.
    lanes: u16,
    /// Jobs and bytes that were claimed ahead: when they were, not how many are left.
    ahead: (usize, usize),
}

struct Worker {
    slot: Arc<Slot>,
    scope: Scope,
    is_idle: bool,
    /// The run of the first lease.
    first: u64,
    /// What it has claimed and not settled, in order of its runs.
    leases: Vec<Lease>,
    /// Payload bytes of all but the first.
    bytes_ahead: usize,
    /// There may be one that has not begun and was not taken back.
    shares: bool,
}

/// A worker that waits for something to do.
pub(super) struct Idle {
    pub(super) worker: u32,
    pub(super) waker: Waker,
}

/// How far a lease has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The attempt has not begun.
    Ahead,
    /// Its handler runs, or has just returned.
    Current,
    /// Its handler returned with success.
    Done,
    /// Someone else has the job now.
    Withdrawn,
}

impl Seats {
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    pub(super) fn in_scope(&self, scope: Scope) -> usize {
        self.workers.iter().flatten().filter(|worker| worker.scope == scope).count()
    }

    pub(super) fn take(&mut self, slot: Arc<Slot>, scope: Scope) -> u32 {
        let leases = Vec::with_capacity(BATCH);
        let worker =
            Some(Worker { slot, scope, is_idle: false, first: 0, leases, bytes_ahead: 0, shares: false });
        self.taken += 1;
        let free = self.workers.iter().position(Option::is_none);
        let index = free.unwrap_or(self.workers.len());
        if index == self.workers.len() {
            self.workers.push(worker);
        } else {
            self.workers[index] = worker;
        }
        u32::try_from(index).expect("workers are bounded by the configuration")
    }

    pub(super) fn leave(&mut self, worker: u32) {
        self.unpark(worker);
        if self.workers[worker as usize].take().is_some() {
            self.taken -= 1;
        }
    }

    pub(super) fn park(&mut self, idle: Idle) {
        if let Some(worker) = &mut self.workers[idle.worker as usize] {
            worker.is_idle = true;
            self.idle.push(idle);
        }
    }

    /// A worker is back: roused, or polled for no reason.
    pub(super) fn unpark(&mut self, number: u32) {
        let Some(worker) = &mut self.workers[number as usize] else { return };
        if std::mem::take(&mut worker.is_idle) {
            self.idle.retain(|idle| idle.worker != number);
        }
    }

    /// Takes the latest idle worker off the list, to be woken.
    pub(super) fn rouse(&mut self) -> Option<Waker> {
        let Idle { worker, waker } = self.idle.pop()?;
        if let Some(worker) = &mut self.workers[worker as usize] {
            worker.is_idle = false;
        }
        Some(waker)
    }

    /// Notes what a worker that had nothing has claimed, for its next runs.
    pub(super) fn lease(&mut self, number: u32, claims: &[Claim]) {
        let Some(worker) = &mut self.workers[number as usize] else { return };
        worker.first = worker.slot.progress.run();
        let (mut lanes, mut bytes) = (0, 0);
        for claim in claims {
            if !worker.leases.is_empty() {
                lanes |= 1 << claim.priority.level();
                bytes += claim.payload.len();
            }
            worker.leases.push(claim.lease);
        }
        let ahead = worker.leases.len().saturating_sub(1);
        if ahead > 0 {
            self.lanes = if self.sharing == 0 { lanes } else { self.lanes | lanes };
            self.batches += 1;
            self.sharing += 1;
            worker.shares = true;
            worker.bytes_ahead = bytes;
            self.ahead = (self.ahead.0 + ahead, self.ahead.1 + bytes);
        }
    }

    /// Whether a worker has claimed something and not settled it.
    pub(super) fn is_busy(&self, number: u32) -> bool {
        let worker = self.workers.get(number as usize).and_then(Option::as_ref);
        worker.is_some_and(|worker| !worker.leases.is_empty())
    }

    /// Takes a worker's leases to settle them; [`restore`](Self::restore) them with what is left.
    pub(super) fn begin_settle(&mut self, number: u32) -> (u64, Vec<Lease>) {
        let Some(worker) = &mut self.workers[number as usize] else { return (0, Vec::new()) };
        if worker.leases.len() > 1 {
            self.batches -= 1;
            self.sharing -= usize::from(std::mem::take(&mut worker.shares));
            let bytes = std::mem::take(&mut worker.bytes_ahead);
            self.ahead = (self.ahead.0 + 1 - worker.leases.len(), self.ahead.1 - bytes);
        }
        (worker.first, std::mem::take(&mut worker.leases))
    }

    /// Keeps the current lease, or none.
    pub(super) fn restore(&mut self, number: u32, leases: Vec<Lease>) {
        debug_assert!(leases.len() <= 1, "a batch that was settled has one current run at most");
        if let Some(worker) = &mut self.workers[number as usize] {
            worker.first = worker.slot.progress.run();
            worker.leases = leases;
        }
    }

    /// The worker's last lease was settled.
    pub(super) fn settled(&mut self, number: u32) {
        if let Some(worker) = &mut self.workers[number as usize] {
            worker.leases.clear();
        }
    }

    /// Sends a signal to what a worker runs now. Gives back whom to tell.
    pub(super) fn raise(&self, number: u32, signal: Signal) -> Option<Arc<Slot>> {
        let worker = self.workers.get(number as usize)?.as_ref()?;
        worker.slot.progress.raise(worker.slot.progress.run(), signal).then(|| worker.slot.clone())
    }

    /// Asks an attempt to stop if it runs now. Gives back whom to tell.
    pub(super) fn ask(&self, number: u32, lease: Lease) -> Option<Arc<Slot>> {
        let worker = self.workers.get(number as usize)?.as_ref()?;
        worker.slot.progress.raise(worker.run_of(lease)?, Signal::Cancel).then(|| worker.slot.clone())
    }

    /// Takes a lease back from its worker, if the attempt has not begun.
    pub(super) fn withdraw(&self, number: u32, lease: Lease) -> bool {
        let worker = self.workers.get(number as usize).and_then(Option::as_ref);
        worker
            .is_some_and(|worker| worker.run_of(lease).is_some_and(|run| worker.slot.progress.withdraw(run)))
    }

    /// Takes back the first lease of a batch that has not begun.
    pub(super) fn steal(&mut self) -> Option<Lease> {
        if self.sharing == 0 {
            return None;
        }
        for worker in self.workers.iter_mut().flatten().filter(|worker| worker.shares) {
            let stolen = worker.steal();
            if stolen.is_some() {
                return stolen;
            }
            worker.shares = false;
            self.sharing -= 1;
        }
        None
    }

    /// Whether what was claimed ahead may not be next any more, now that these lanes have something.
    pub(super) fn is_ahead_of(&self, lanes: u16) -> bool {
        self.sharing > 0 && !(lanes | self.lanes).is_power_of_two()
    }

    /// The priorities of what was claimed ahead.
    pub(super) fn lanes_ahead(&self) -> u16 {
        if self.sharing == 0 { 0 } else { self.lanes }
    }

    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Jobs and bytes that may still wait although they are claimed.
    pub(super) fn claimed_ahead(&self) -> (usize, usize) {
        self.ahead
    }

    /// What is done, and not settled yet.
    pub(super) fn done(&self) -> impl Iterator<Item = Lease> {
        self.standing(Standing::Done)
    }

    /// How many are claimed and have not begun.
    pub(super) fn ahead(&self) -> usize {
        self.standing(Standing::Ahead).count()
    }

    fn standing(&self, wanted: Standing) -> impl Iterator<Item = Lease> {
        let all = self.batches().flat_map(Worker::standings);
        all.filter_map(move |(lease, standing)| (standing == wanted).then_some(lease))
    }

    fn batches(&self) -> impl Iterator<Item = &Worker> {
        let workers = if self.batches == 0 { &[] } else { &self.workers[..] };
        workers.iter().flatten().filter(|worker| worker.leases.len() > 1)
    }
}

impl Worker {
    fn run_of(&self, lease: Lease) -> Option<u64> {
        (self.first..).zip(&self.leases).find_map(|(run, own)| (*own == lease).then_some(run))
    }

    fn steal(&self) -> Option<Lease> {
        let mut runs = (self.first..).zip(&self.leases);
        let progress = &self.slot.progress;
        let stolen = runs.find(|(run, _)| !progress.view().is_withdrawn(*run) && progress.withdraw(*run));
        stolen.map(|(_, lease)| *lease)
    }

    fn standings(&self) -> impl Iterator<Item = (Lease, Standing)> {
        let view = self.slot.progress.view();
        (self.first..).zip(&self.leases).map(move |(run, lease)| (*lease, standing(view, run)))
    }
}

/// Where a run of a worker's batch stands. The worker may go on meanwhile, but what is withdrawn or done stays so.
pub(super) fn standing(progress: View, run: u64) -> Standing {
    if progress.is_withdrawn(run) {
        return Standing::Withdrawn;
    }
    match run.cmp(&progress.run()) {
        std::cmp::Ordering::Less => Standing::Done,
        std::cmp::Ordering::Equal => Standing::Current,
        std::cmp::Ordering::Greater => Standing::Ahead,
    }
}
