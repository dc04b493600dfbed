//! The network between a queue and its remote store.

use std::collections::BTreeSet;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use queue_core::remote::{
    ClaimRequest, Claimed, Control, ExtendAnswer, Feeder, LeaseId, Next, PushAnswer, PushRequest, Remote,
    RemoteCancel, RemoteCounts, RemoteStore, Reply, SettleAnswer, Settlement, Tended, Wakening,
};
use queue_core::{JobId, Name, RecoveredDead, StoreError, StoreFault, Timer as _};

use super::Server;
use super::table::Table;
use crate::executor::Executor;
use crate::piece::Origin;
use crate::sleep::Sleep;
use crate::world::World;

/// A network connection to a [`Server`]. Cheap to clone; a clone is the same connection.
///
/// A message takes up to 5 ms each way. Who gets no answer within a second does not know what became of the request.
#[derive(Clone)]
pub struct Link {
    server: Server,
    is_cut: Arc<AtomicBool>,
}

/// A message takes up to this long.
const LATENCY: Duration = Duration::from_millis(5);
/// And one that stalls.
const STALL: Duration = Duration::from_secs(10);
/// Who asks waits no longer than this.
const TIMEOUT: Duration = Duration::from_secs(1);

impl Link {
    pub(super) fn new(server: Server) -> Self {
        Self { server, is_cut: Arc::new(AtomicBool::new(false)) }
    }

    /// For [`Builder::remote`](queue_core::Builder::remote): the queue's jobs are in the server, and what feeds it is a task
    /// of the simulation.
    ///
    /// `try_push` and `try_push_many` block the thread until the store has answered. In a simulation there is no other, so
    /// they panic there, outside of handlers; await the push.
    #[must_use]
    pub fn remote(&self) -> Remote {
        let (world, random) = (self.server.world.clone(), self.server.world.clone());
        let remote = Remote::new(self.clone()).random(move || random.random().u64(..));
        remote.driver(move |feeder| {
            let executor = Executor::current().expect("a queue is built in its simulation");
            executor.spawn("feeder", drive(world.clone(), feeder), Origin::Simulator);
        })
    }

    /// Nothing comes through any more, in either direction: for the server, this machine is dead.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// It works again. What was lost is lost.
    pub fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }

    /// Has the server do something, and sends back what it says.
    fn call<T>(
        &self,
        serve: impl FnOnce(&mut Table, Duration, std::time::SystemTime) -> T + 'static,
    ) -> Reply<T>
    where
        T: 'static,
    {
        let (responder, reply) = Reply::later();
        let link = self.clone();
        Self::in_time(async move {
            let timeout = pin!(link.server.world.sleep(TIMEOUT));
            let mut trip = pin!(async {
                link.pass().await?;
                let answer = link.server.serve(serve);
                link.pass().await?;
                Some(answer)
            });
            match first(trip.as_mut(), timeout).await {
                Some(Some(answer)) => responder.answer(Ok(answer)),
                Some(None) => {
                    // Nothing comes back; that is noticed in the end.
                    link.server.world.sleep(TIMEOUT).await;
                    responder.answer(Err(no_answer()));
                }
                None => {
                    responder.answer(Err(no_answer()));
                    // It may still arrive.
                    trip.await;
                }
            }
        });
        reply
    }

    /// A message on its way. `None`: it is lost.
    async fn pass(&self) -> Option<()> {
        let world = &self.server.world;
        let is_lost = world.strikes("MESSAGE LOST", |chaos| chaos.message_losses);
        let most =
            if world.strikes("MESSAGE STALLS", |chaos| chaos.message_stalls) { STALL } else { LATENCY };
        world.sleep(world.shared.with(|state| state.some_time(most))).await;
        (!is_lost && !self.is_cut.load(Ordering::SeqCst)).then_some(())
    }

    fn in_time(work: impl Future<Output = ()> + 'static) {
        if let Some(executor) = Executor::current() {
            executor.spawn("network", work, Origin::Simulator);
        }
    }
}

impl RemoteStore for Link {
    fn push(&self, jobs: Vec<PushRequest>) -> Reply<Vec<PushAnswer>> {
        self.call(|table, now, _| table.push(jobs, now))
    }

    fn claim(&self, request: ClaimRequest) -> Reply<Claimed> {
        self.call(move |table, now, _| table.claim(&request, now))
    }

    fn settle(&self, settlements: Vec<Settlement>) -> Reply<Vec<SettleAnswer>> {
        self.call(|table, now, _| table.settle(settlements, now))
    }

    fn extend(&self, leases: Vec<LeaseId>, by: Duration) -> Reply<Vec<ExtendAnswer>> {
        self.call(move |table, now, _| table.extend(&leases, by, now))
    }

    fn tend(&self, budget: usize) -> Reply<Tended> {
        self.call(move |table, now, wall| table.tend(budget, now, wall))
    }

    fn cancel(&self, ids: Vec<JobId>) -> Reply<Vec<RemoteCancel>> {
        self.call(move |table, _, _| table.cancel(&ids))
    }

    fn requeue(&self, ids: Vec<JobId>) -> Reply<Vec<bool>> {
        self.call(move |table, now, _| table.requeue(&ids, now))
    }

    fn dead_letters(&self, queue: Name, after: Option<JobId>, max: usize) -> Reply<Vec<RecoveredDead>> {
        self.call(move |table, _, _| table.dead_letters(&queue, after, max))
    }

    fn counts(&self, queue: Name) -> Reply<RemoteCounts> {
        self.call(move |table, now, _| table.counts(&queue, now))
    }

    fn control(&self, queue: Name, control: Control) -> Reply<()> {
        self.call(move |table, _, _| table.control(queue, control))
    }

    fn prune(&self, queue: Name, older: Duration, budget: usize) -> Reply<usize> {
        self.call(move |table, now, _| table.prune(&queue, older, budget, now))
    }

    fn wake(&self, queues: Vec<Name>) -> Reply<Wakening> {
        let (responder, reply) = Reply::later();
        let link = self.clone();
        Self::in_time(async move {
            let hint = async {
                link.pass().await?;
                let (names, server) = (queues.into_iter().collect::<BTreeSet<_>>(), &link.server);
                let hint = server.hint(names).await.ok()?;
                link.pass().await?;
                Some(hint)
            };
            // Whether the other end is still there shows only when something is sent, so a hint may never come.
            responder.answer(Ok(hint.await.unwrap_or(Wakening::Lost)));
        });
        reply
    }
}

/// Drives a queue's feeder.
async fn drive(world: World, mut feeder: Feeder) {
    let mut sleep: Option<(Instant, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        loop {
            let due = match feeder.turn(cx) {
                Next::Over => return Poll::Ready(()),
                Next::Wait(None) => return Poll::Pending,
                Next::Wait(Some(due)) => due,
            };
            if sleep.as_ref().is_none_or(|(until, _)| *until != due) {
                sleep = Some((due, Box::pin(world.sleep_until(due))));
            }
            let Some((_, future)) = &mut sleep else { return Poll::Pending };
            if future.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            sleep = None;
        }
    })
    .await;
}

/// The output of `work`, unless `timeout` is over before.
async fn first<T>(mut work: Pin<&mut impl Future<Output = T>>, mut timeout: Pin<&mut Sleep>) -> Option<T> {
    poll_fn(|cx| {
        if let Poll::Ready(output) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        timeout.as_mut().poll(cx).map(|()| None)
    })
    .await
}

fn no_answer() -> StoreError {
    StoreError::new(StoreFault::InDoubt, "no answer within a second")
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_cut = self.is_cut.load(Ordering::SeqCst);
        f.debug_struct("Link").field("server", &self.server).field("is_cut", &is_cut).finish()
    }
}
