//! A queue as the subject: its workers wait to be told how each attempt ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use queue_core::remote::{Control, RemoteCancel, RemoteStore};
use queue_core::{
    BoxError, Builder, CancelAnswer, Event, Job, JobError, JobId, NewJob, Outcome, PushError, Queue,
    RetryPolicy, StoreFault, Subscription,
};

use super::{CAPACITY, Counts, DeadLetter, Full, How, Push, RETRIES, RETRY, SLOTS, Started, Subject, Time};
use crate::{Gate, Log, handler};

/// A queue, and where its jobs are kept.
#[derive(Debug)]
pub struct OnQueue<T: Time> {
    time: T,
    kept: Kept,
    queue: Queue<T::Runtime>,
    events: Subscription,
    desk: Desk,
    /// How many attempts the suite has seen.
    seen: usize,
}

/// Where the jobs are kept.
#[derive(Debug)]
pub enum Kept {
    /// In memory.
    InMemory,
    /// In an SQLite file of this folder.
    #[cfg(feature = "sqlite")]
    OnSqlite(tempfile::TempDir),
    /// On a simulated disk.
    #[cfg(feature = "sim")]
    OnDisk(queue_sim::Disk),
    /// In a store on another machine, and what is asked of it directly.
    #[cfg(feature = "sim")]
    OnServer(queue_sim::Server, queue_sim::Link),
}

/// What the handlers and the suite share.
#[derive(Clone, Debug, Default)]
struct Desk {
    begun: Log<Started>,
    open: Arc<Mutex<BTreeMap<u64, Attempt>>>,
}

/// An attempt that waits for its end.
#[derive(Clone, Debug, Default)]
struct Attempt {
    how: Arc<Mutex<Option<How>>>,
    gate: Gate,
}

#[cfg(feature = "sim")]
const LEASE: Duration = Duration::from_secs(3);

impl<T: Time> OnQueue<T> {
    /// A queue that keeps its jobs there.
    pub fn new(time: T, kept: Kept) -> Self {
        let builder = kept.apply(time.builder());
        let retry = RetryPolicy::fixed(RETRIES, RETRY);
        let queue = builder.workers(SLOTS).capacity(CAPACITY).retry(retry).build();
        let (desk, events) = (Desk::default(), queue.subscribe(1_000));
        let held = desk.clone();
        queue.register(
            "work",
            handler(move |job: Job| {
                let attempt = held.begin(&job);
                async move {
                    attempt.gate.pass().await;
                    let how = *attempt.how.lock();
                    how.unwrap_or(How::Done).outcome()
                }
            }),
        );
        time.start(&queue);
        Self { time, kept, queue, events, desk, seen: 0 }
    }

    /// Waits until the end of the attempt is known everywhere.
    async fn ended(&mut self, id: JobId) {
        loop {
            let event = self.events.recv().await.expect("the queue lives");
            match event {
                Event::Succeeded(job)
                | Event::Retried { job, .. }
                | Event::Snoozed { job, .. }
                | Event::Died { job, .. }
                | Event::Cancelled(job)
                    if job.id == id =>
                {
                    return;
                }
                _ => {}
            }
        }
    }
}

impl Desk {
    fn begin(&self, job: &Job) -> Attempt {
        let attempt = Attempt::default();
        let mut open = self.open.lock();
        let serial = self.begun.len() as u64;
        open.insert(serial, attempt.clone());
        self.begun.add(Started {
            id: job.id,
            attempt: job.attempt,
            payload: job.raw_payload().to_vec(),
            serial,
        });
        attempt
    }
}

impl How {
    fn outcome(self) -> Result<Outcome, BoxError> {
        match self {
            Self::Done => Ok(Outcome::Done),
            Self::Fail => Err("it fails".into()),
            Self::Discard => Err(JobError::discard("it is hopeless").into()),
            Self::Snooze(delay) => Ok(Outcome::Snooze(delay)),
            Self::Cancel => Ok(Outcome::cancel("it is not wanted")),
        }
    }
}

impl Kept {
    fn apply<R: queue_core::Runtime>(&self, builder: Builder<R>) -> Builder<R> {
        match self {
            Self::InMemory => builder,
            #[cfg(feature = "sqlite")]
            Self::OnSqlite(folder) => {
                let store = queue_sqlite::Store::open(folder.path().join("jobs.db"));
                builder.store(store.expect("nobody else has it"))
            }
            #[cfg(feature = "sim")]
            Self::OnDisk(disk) => builder.store(disk.open().expect("nobody else has it")),
            #[cfg(feature = "sim")]
            Self::OnServer(_, link) => builder.remote(link.remote().lease(LEASE)),
        }
    }

    /// What another process finds after this one was killed.
    fn crashed(&self) -> Option<Self> {
        match self {
            Self::InMemory => None,
            #[cfg(feature = "sqlite")]
            Self::OnSqlite(folder) => {
                let copy = tempfile::tempdir().expect("there is room");
                for file in ["jobs.db", "jobs.db-wal"] {
                    std::fs::copy(folder.path().join(file), copy.path().join(file)).expect("it is there");
                }
                Some(Self::OnSqlite(copy))
            }
            #[cfg(feature = "sim")]
            Self::OnDisk(disk) => {
                disk.crash();
                Some(Self::OnDisk(disk.clone()))
            }
            #[cfg(feature = "sim")]
            Self::OnServer(server, link) => {
                link.cut();
                Some(Self::OnServer(server.clone(), server.connect()))
            }
        }
    }

    /// The store that decides, if that is not the queue itself.
    fn remote(&self) -> Option<&dyn RemoteStore> {
        match self {
            #[cfg(feature = "sim")]
            Self::OnServer(server, _) => Some(server),
            _ => None,
        }
    }
}

impl<T: Time> Subject for OnQueue<T> {
    async fn push(&mut self, job: Push) -> Result<JobId, Full> {
        let new = NewJob::raw("work", job.payload).priority(job.priority).delay(job.delay);
        let push = self.queue.push_job(new);
        // What is remote cannot say at once that it is full; the others would wait for room.
        let pushed = if self.kept.remote().is_some() { push.await } else { push.try_push() };
        pushed.map_err(|error| match error {
            PushError::Full(_) => Full,
            PushError::Store { error, .. } if error.fault() == StoreFault::Full => Full,
            other => panic!("{other}"),
        })
    }

    async fn started(&mut self, count: usize) -> Vec<Started> {
        let begun = self.desk.begun.wait_for(self.seen + count).await;
        assert_eq!(begun.len(), self.seen + count, "more began: {begun:?}");
        self.seen = begun.len();
        begun[self.seen - count..].to_vec()
    }

    async fn settle(&mut self, attempt: &Started, how: How) -> bool {
        let Some(open) = self.desk.open.lock().remove(&attempt.serial) else { return false };
        *open.how.lock() = Some(how);
        open.gate.open();
        self.ended(attempt.id).await;
        true
    }

    async fn advance(&mut self, time: Duration) {
        self.time.advance(time).await;
    }

    async fn cancel(&mut self, id: JobId) -> Option<bool> {
        if let Some(store) = self.kept.remote() {
            return answer(store.cancel(vec![id]).await.expect("it answers")[0]);
        }
        match self.queue.cancel(id) {
            CancelAnswer::Removed => Some(true),
            CancelAnswer::Asked => Some(false),
            _ => None,
        }
    }

    async fn requeue(&mut self, id: JobId) -> bool {
        match self.kept.remote() {
            Some(store) => store.requeue(vec![id]).await.expect("it answers")[0],
            None => self.queue.requeue(id).is_ok(),
        }
    }

    async fn dead(&mut self) -> Vec<DeadLetter> {
        if let Some(store) = self.kept.remote() {
            let dead = store.dead_letters("default".into(), None, usize::MAX).await.expect("it answers");
            return dead.into_iter().map(DeadLetter::from).collect();
        }
        let dead = self.queue.dead_letters();
        let letters = dead.iter().map(|dead| DeadLetter {
            id: dead.id,
            reason: dead.reason,
            attempts: dead.attempts,
            history: dead.history.iter().map(|failed| failed.attempt).collect(),
            payload: dead.payload.to_vec(),
        });
        letters.collect()
    }

    async fn counts(&mut self) -> Counts {
        if let Some(store) = self.kept.remote() {
            let counts = store.counts("default".into()).await.expect("it answers");
            return counts.into();
        }
        let Self { queue, time, .. } = self;
        // Who was told to go on does so when it is polled.
        time.until(|| {
            queue
                .counts("default")
                .is_ok_and(|counts| counts.ready == 0 || counts.is_paused || counts.running == SLOTS)
        })
        .await;
        let counts = queue.counts("default").expect("it is there");
        Counts { ready: counts.ready, delayed: counts.delayed, running: counts.running, dead: counts.dead }
    }

    async fn pause(&mut self, is_paused: bool) {
        if let Some(store) = self.kept.remote() {
            let control = if is_paused { Control::Pause } else { Control::Resume };
            return store.control("default".into(), control).await.expect("it answers");
        }
        let answer = if is_paused { self.queue.pause("default") } else { self.queue.resume("default") };
        answer.expect("it is there");
    }

    async fn crash(mut self) -> Option<Self> {
        if let Some(store) = self.kept.remote() {
            store.control("default".into(), Control::Resume).await.expect("it answers");
        } else {
            // That it began is written with what comes after it.
            let marker = self.push(Push::new("marker").delay(Duration::MAX)).await.expect("there is room");
            assert_eq!(self.cancel(marker).await, Some(true));
        }
        let Self { time, kept, queue, .. } = self;
        let next = kept.crashed()?;
        // Its workers go with it; nothing of what they say is heard.
        drop(queue);
        if let Some(store) = next.remote() {
            // Until the leases have expired.
            time.advance(2 * RETRY / 5).await;
            store.tend(1_000).await.expect("it answers");
        }
        Some(Self::new(time, next))
    }
}

pub(super) fn answer(cancelled: RemoteCancel) -> Option<bool> {
    match cancelled {
        RemoteCancel::Removed => Some(true),
        RemoteCancel::Asked => Some(false),
        RemoteCancel::NotFound => None,
    }
}
