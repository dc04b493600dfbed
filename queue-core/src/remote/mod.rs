//! The seam of stores that decide for themselves: a database that several machines share.
//!
//! ```text
//!   push ───▶ Change ──┐                         ┌─▶ push ───┐
//!   attempt ─▶ Change ─┼─ append ─▶ Feeder ──────┼─▶ settle ─┼──▶ RemoteStore ◀── other machines
//!   room ──────────────┘              │          ├─▶ claim ──┤
//!      ▲                              │          └─▶ extend ─┘
//!      └──── in-process store ◀───────┘  claimed jobs, as many as there are free workers
//! ```
//!
//! The worker loop speaks to its in-process store as ever. What that records goes to the [`Feeder`], which writes it in
//! batches; what the store hands out in return, the feeder puts into the in-process store. A job belongs to whoever has
//! the lease on it, and only that one settles it: see [`RemoteStore`].

mod feeder;
mod hand;
mod pump;
mod reply;
mod types;

use std::fmt;
use std::sync::Arc;
use std::task::Context;
use std::thread;
use std::time::Duration;

pub use feeder::{Feeder, Next};
pub(crate) use pump::Pump;
pub use reply::{Reply, Responder};
pub use types::{
    ClaimRequest, ClaimToken, Claimed, ClaimedJob, Control, ExtendAnswer, LeaseId, PushAnswer, PushRequest,
    PushToken, Refused, RemoteCancel, RemoteCounts, SettleAnswer, Settlement, Tended, Transition,
    Wake as Wakening,
};

use crate::job::{JobId, Name};
use crate::journal::{RecoveredDead, unparker};

/// A store that outlives its queues and is shared by them, such as a database on another machine.
///
/// Every verb is a batch, and each item of it one atomic transition that says whether it applied. The store has the only
/// clock that counts: durations go in and come out, and it decides what is due and what has expired. A verb returns at
/// once and does its work elsewhere (a thread, a connection of its own), so that it needs no runtime and a handler that
/// blocks its thread stops neither heartbeats nor settles. It must not panic, and every reply has to be answered, or dropped,
/// in the end.
///
/// # States
///
/// | state | becomes | by |
/// |---|---|---|
/// | | waits | `push` |
/// | waits, and is due | in hand | `claim`: with a lease and a new run |
/// | in hand | waits | `settle` with `Retry`, `Snooze`, `HandBack`; `tend`, once the lease has expired |
/// | in hand | is gone | `settle` with `Done`, `Cancel` |
/// | in hand | is dead | `settle` with `Bury`; `tend`, at the last of the crashes that are allowed |
/// | waits | is gone | `cancel` |
/// | is dead | waits | `requeue` |
/// | is dead | is gone | `prune` |
///
/// A job is claimed in the order of priority, time since when it is due, and arrival. `HandBack` leaves it its place.
///
/// # Fencing
///
/// [`ClaimToken`] names a claim by lease, job and *run*, which grows whenever the job is claimed. A settle whose lease has
/// expired, or whose run is over, is [`SettleAnswer::LeaseLost`] and changes nothing. The attempt number would not do: it
/// starts anew when a dead letter is requeued, and does not grow when an attempt is handed back.
///
/// # In doubt
///
/// An answer may get lost: the error is then [`StoreFault::InDoubt`](crate::StoreFault::InDoubt). Every verb can be asked
/// again blindly: a push has a token of its caller and is then [`PushAnswer::Held`]; a claim has a lease of its caller's
/// choice, and asking again for one that exists gives the jobs that it has; the others say that there is nothing left to
/// do.
pub trait RemoteStore: fmt::Debug + Send + Sync + 'static {
    /// Takes jobs in.
    fn push(&self, jobs: Vec<PushRequest>) -> Reply<Vec<PushAnswer>>;

    /// Hands out jobs of one named queue that are due, and a lease on them.
    fn claim(&self, request: ClaimRequest) -> Reply<Claimed>;

    /// Ends attempts.
    fn settle(&self, settlements: Vec<Settlement>) -> Reply<Vec<SettleAnswer>>;

    /// Lets leases last for `by` from now, and says which of their jobs are to be cancelled.
    fn extend(&self, leases: Vec<LeaseId>, by: Duration) -> Reply<Vec<ExtendAnswer>>;

    /// Sees to leases that have expired, at most `budget` jobs: their jobs wait again, and one crash of each is counted.
    /// Anybody may ask, any number of times.
    fn tend(&self, budget: usize) -> Reply<Tended>;

    /// Cancels jobs: those that wait are removed, those in hand are marked, for the next `extend` of who has them.
    fn cancel(&self, ids: Vec<JobId>) -> Reply<Vec<RemoteCancel>>;

    /// Gives dead letters another life. Says of each whether there was one.
    fn requeue(&self, ids: Vec<JobId>) -> Reply<Vec<bool>>;

    /// The dead letters of a named queue whose number is above `after`, in order of their numbers, at most `max`.
    fn dead_letters(&self, queue: Name, after: Option<JobId>, max: usize) -> Reply<Vec<RecoveredDead>>;

    /// How many jobs of a named queue are where. One that nobody ever used is empty.
    fn counts(&self, queue: Name) -> Reply<RemoteCounts>;

    /// Changes the settings of a named queue, for all machines.
    fn control(&self, queue: Name, control: Control) -> Reply<()>;

    /// Drops dead letters of a named queue that died at least `older` ago, at most `budget`, the oldest first. Says how
    /// many.
    fn prune(&self, queue: Name, older: Duration, budget: usize) -> Reply<usize>;

    /// Answers when there may be something to claim in one of these named queues: a hint, which may come for nothing and
    /// may not come at all. Who waits polls besides.
    fn wake(&self, queues: Vec<Name>) -> Reply<Wakening>;
}

/// A [`RemoteStore`] and how a queue uses it; for [`Builder::remote`](crate::Builder::remote).
#[derive(Clone)]
pub struct Remote {
    store: Arc<dyn RemoteStore>,
    lease: Duration,
    poll: Duration,
    drive: Arc<dyn Fn(Feeder) + Send + Sync>,
    random: Arc<dyn Fn() -> u64 + Send + Sync>,
    may_block: bool,
}

impl Remote {
    /// Uses `store` with the default settings.
    pub fn new(store: impl RemoteStore) -> Self {
        Self {
            store: Arc::new(store),
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            drive: Arc::new(drive_on_a_thread),
            random: Arc::new(|| fastrand::u64(..)),
            may_block: true,
        }
    }

    /// How long a claim lasts without a heartbeat: what a machine had in hand when it crashed runs again after this time.
    /// Heartbeats are sent three times as often.
    ///
    /// Default: 30 seconds, because a machine that is busy or a network that stumbles may well be silent for ten.
    ///
    /// # Panics
    ///
    /// When it is zero.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        assert!(!lease.is_zero(), "a lease has to last");
        self.lease = lease;
        self
    }

    /// How often an idle queue asks for jobs although nothing woke it.
    ///
    /// Default: 1 second, because a hint may get lost, and a second later is late enough.
    ///
    /// # Panics
    ///
    /// When it is zero.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        assert!(!poll.is_zero(), "it would ask without a pause");
        self.poll = poll;
        self
    }

    /// Who drives the queue's [`Feeder`], instead of a thread of its own; what a simulator sets.
    ///
    /// Calls that block until the store has answered (`try_push` and `try_push_many`, outside of handlers) panic from then
    /// on: the driver may need the thread that is blocked.
    #[must_use]
    pub fn driver(mut self, drive: impl Fn(Feeder) + Send + Sync + 'static) -> Self {
        self.drive = Arc::new(drive);
        self.may_block = false;
        self
    }

    /// Where the names of pushes and leases come from: asked once for each queue, it must never give the same number twice,
    /// on any machine. What a simulator sets.
    #[must_use]
    pub fn random(mut self, random: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    pub(crate) fn pump(&self, channels: usize) -> Pump {
        Pump::new(channels, self.may_block)
    }

    pub(crate) fn start(&self, feeder: Feeder) {
        (self.drive)(feeder);
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote")
            .field("store", &self.store)
            .field("lease", &self.lease)
            .field("poll", &self.poll)
            .finish_non_exhaustive()
    }
}

/// A thread of its own: it needs no runtime, and goes on while handlers block theirs.
fn drive_on_a_thread(mut feeder: Feeder) {
    let run = move || {
        let waker = unparker();
        let mut cx = Context::from_waker(&waker);
        loop {
            match feeder.turn(&mut cx) {
                Next::Over => return,
                Next::Wait(None) => thread::park(),
                Next::Wait(Some(due)) => thread::park_timeout(due.saturating_duration_since(feeder.now())),
            }
        }
    };
    thread::Builder::new().name("queue-feeder".to_owned()).spawn(run).expect("the system has threads left");
}
