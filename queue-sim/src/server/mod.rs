//! A store on another machine: what several queues share, over a network that is slow and loses things.

mod link;
mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use queue_core::remote::{
    ClaimRequest, Claimed, Control, ExtendAnswer, LeaseId, PushAnswer, PushRequest, RemoteCancel,
    RemoteCounts, RemoteStore, Reply, Responder, SettleAnswer, Settlement, Tended, Wakening,
};
use queue_core::{JobId, Name, RecoveredDead, Timer as _};

pub use link::Link;
use table::Table;

use crate::world::World;

/// A store that queues of one simulation share, as machines share a database. Cheap to clone; a clone is the same store.
///
/// It is a [`RemoteStore`] itself, one that answers at once; [`connect`](Self::connect) puts a network before it, which takes
/// up to a few milliseconds each way, and loses messages as the seed has it if [`Chaos`](crate::Chaos) says so.
///
/// It decides as a database would, and is the model for those: what each verb means is written down in it once, as plainly
/// as can be.
///
/// ```
/// use std::time::Duration;
/// use queue_sim::{Queue, Server, Sim};
///
/// Sim::new(1).run(|sim| async move {
///     let server = Server::new(&sim);
///     let front = Queue::builder().remote(server.connect().remote()).build();
///     let back = Queue::builder().remote(server.connect().remote()).build();
///     back.register("mail", |_| async { Ok(()) });
///     back.start();
///     front.push("mail", &"ada@example.com").await.unwrap();
///     sim.advance(Duration::from_secs(1)).await;
///     assert!(server.is_empty());
///     back.shutdown(Duration::ZERO).await;
/// });
/// ```
#[derive(Clone)]
pub struct Server {
    world: World,
    state: Arc<Mutex<State>>,
}

struct State {
    table: Table,
    waiting: Vec<(BTreeSet<Name>, Responder<Wakening>)>,
}

impl Server {
    /// An empty store, in this simulation. A job whose lease expired three times is a dead letter.
    #[must_use]
    pub fn new(world: &World) -> Self {
        let state = State { table: Table::new(3), waiting: Vec::new() };
        Self { world: world.clone(), state: Arc::new(Mutex::new(state)) }
    }

    /// How often the lease on a job may expire until it is a dead letter. Default: 3, as one expiry may be a network that
    /// was away, and two a coincidence.
    #[must_use]
    pub fn crashes_before_quarantine(self, crashes: u32) -> Self {
        self.state.lock().table.most_crashes = crashes;
        self
    }

    /// A network connection to it, for one queue.
    #[must_use]
    pub fn connect(&self) -> Link {
        Link::new(self.clone())
    }

    /// Whether no job is left in it, dead letters apart.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.lock().table.is_empty()
    }

    /// The jobs that are done, in the order in which that was decided.
    #[must_use]
    pub fn done(&self) -> Vec<JobId> {
        self.state.lock().table.done.clone()
    }

    /// The jobs that were cancelled, in the order in which that was decided.
    #[must_use]
    pub fn cancelled(&self) -> Vec<JobId> {
        self.state.lock().table.cancelled.clone()
    }

    /// How often the lease on a job has expired, and that was seen to.
    #[must_use]
    pub fn expiries(&self) -> u64 {
        self.state.lock().table.expiries
    }

    fn hint(&self, queues: BTreeSet<Name>) -> Reply<Wakening> {
        let (responder, reply) = Reply::later();
        self.state.lock().waiting.push((queues, responder));
        reply
    }

    /// Does something with what is in it, and tells who waits for jobs.
    fn serve<T>(&self, change: impl FnOnce(&mut Table, Duration, SystemTime) -> T) -> T {
        let (now, wall) = (self.world.elapsed(), self.world.wall());
        let (answer, woken) = {
            let mut state = self.state.lock();
            let answer = change(&mut state.table, now, wall);
            let touched = state.table.take_touched();
            let is_woken = |names: &BTreeSet<Name>| !names.is_disjoint(&touched);
            let woken: Vec<_> = state.waiting.extract_if(.., |(names, _)| is_woken(names)).collect();
            (answer, woken)
        };
        for (_, responder) in woken {
            responder.answer(Ok(Wakening::Maybe));
        }
        answer
    }
}

impl RemoteStore for Server {
    fn push(&self, jobs: Vec<PushRequest>) -> Reply<Vec<PushAnswer>> {
        Reply::ready(self.serve(|table, now, _| table.push(jobs, now)))
    }

    fn claim(&self, request: ClaimRequest) -> Reply<Claimed> {
        Reply::ready(self.serve(|table, now, _| table.claim(&request, now)))
    }

    fn settle(&self, settlements: Vec<Settlement>) -> Reply<Vec<SettleAnswer>> {
        Reply::ready(self.serve(|table, now, _| table.settle(settlements, now)))
    }

    fn extend(&self, leases: Vec<LeaseId>, by: Duration) -> Reply<Vec<ExtendAnswer>> {
        Reply::ready(self.serve(|table, now, _| table.extend(&leases, by, now)))
    }

    fn tend(&self, budget: usize) -> Reply<Tended> {
        Reply::ready(self.serve(|table, now, wall| table.tend(budget, now, wall)))
    }

    fn cancel(&self, ids: Vec<JobId>) -> Reply<Vec<RemoteCancel>> {
        Reply::ready(self.serve(|table, _, _| table.cancel(&ids)))
    }

    fn requeue(&self, ids: Vec<JobId>) -> Reply<Vec<bool>> {
        Reply::ready(self.serve(|table, now, _| table.requeue(&ids, now)))
    }

    fn dead_letters(&self, queue: Name, after: Option<JobId>, max: usize) -> Reply<Vec<RecoveredDead>> {
        Reply::ready(self.serve(|table, _, _| table.dead_letters(&queue, after, max)))
    }

    fn counts(&self, queue: Name) -> Reply<RemoteCounts> {
        Reply::ready(self.serve(|table, now, _| table.counts(&queue, now)))
    }

    fn control(&self, queue: Name, control: Control) -> Reply<()> {
        self.serve(|table, _, _| table.control(queue, control));
        Reply::ready(())
    }

    fn prune(&self, queue: Name, older: Duration, budget: usize) -> Reply<usize> {
        Reply::ready(self.serve(|table, now, _| table.prune(&queue, older, budget, now)))
    }

    fn wake(&self, queues: Vec<Name>) -> Reply<Wakening> {
        self.hint(queues.into_iter().collect())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("is_empty", &self.is_empty()).finish_non_exhaustive()
    }
}
