//! One life of a queue: it is built, used by everybody at once, shut down, and its jobs are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fastrand::Rng;
use queue_core::{Handle, Job, Queue, ShutdownReport};

use super::books::Books;
use super::bounds::{BOUNDS, configure};
use super::handler::work;
use super::meddler::Meddler;
use super::producer::Producer;
use super::reconcile::{Carried, reconcile};
use super::tally::Tally;
use super::watcher::Watcher;
use crate::watchdog::Watchdog;
use crate::{Gate, TestRuntime, handler};

/// For what takes a second on a machine that has nothing else to do.
const DEADLINE: Duration = Duration::from_mins(2);

const PRODUCERS: usize = 8;

/// How a life of a queue goes.
#[derive(Debug)]
pub(super) struct Epoch {
    pub(super) random: Rng,
    /// What every producer does.
    pub(super) operations: usize,
    /// Whether it is shut down when so many jobs were offered, or when all are done.
    pub(super) is_cut_short: bool,
    /// Threads beside the main one that run workers, on a runtime of their own.
    pub(super) threads: usize,
    /// What jobs are called next.
    pub(super) numbers: Arc<AtomicU64>,
}

impl Epoch {
    /// Lives it. Returns the jobs that go on in another queue.
    pub(super) async fn live<T: TestRuntime>(
        mut self,
        rt: T,
        carried: Carried,
    ) -> Result<(Carried, Tally), String> {
        let books = Arc::new(Books::new(self.numbers.clone()));
        let queue = configure(rt.builder()).build();
        let watchdog = watch(&queue, &books);
        let (kept, known) = (books.clone(), super::task::WORK);
        queue.register(known, handler(move |job: Job| work(&kept, job)));
        rt.start(&queue);
        let crew: Vec<_> = (0..self.threads).map(|_| Member::join::<T>(&queue)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let meddlers = self.meddlers(&queue.handle(), &books, &stop);
        let producers = self.producers(&queue.handle(), &books, carried);

        let report = if self.is_cut_short {
            let most = self.numbers.load(Ordering::Relaxed) + self.random.u64(0..self.operations as u64 * 4);
            rt.until(|| self.numbers.load(Ordering::Relaxed) >= most || all_finished(&producers)).await;
            let patience = if self.random.bool() { 0 } else { self.random.u64(0..20) };
            let report = queue.shutdown(Duration::from_millis(patience)).await;
            ended(&rt, producers).await?;
            stop.store(true, Ordering::Relaxed);
            ended(&rt, meddlers).await?;
            report
        } else {
            ended(&rt, producers).await?;
            stop.store(true, Ordering::Relaxed);
            ended(&rt, meddlers).await?;
            rt.until(|| queue.pending_count() + queue.inflight_count() == 0 || books.wrong().is_some()).await;
            queue.shutdown(DEADLINE).await
        };
        // Handlers that were abandoned may still be at it.
        rt.until(|| queue.inflight_count() == 0 || books.wrong().is_some()).await;
        for member in crew {
            member.stay.open();
            ended(&rt, vec![member.thread]).await?;
        }
        let ended = self.count(&queue.handle(), &books, report);
        // Nobody keeps the handler, and what it has captured, when the queue is gone.
        drop((queue, watchdog));
        let _watchdog =
            Watchdog::new("the end of a soak", DEADLINE, || "its handlers are still there".to_owned());
        rt.until(|| Arc::strong_count(&books) == 1).await;
        ended
    }

    fn count(
        &self,
        queue: &Handle,
        books: &Books,
        report: ShutdownReport,
    ) -> Result<(Carried, Tally), String> {
        if !self.is_cut_short && !report.is_clean() {
            books.accuse(format!("a drained queue held jobs: {report:?}"));
        }
        if queue.pending_count() + queue.inflight_count() > 0 {
            books.accuse(format!("a closed queue still holds jobs: {}", counts(queue)));
        }
        let state = &mut *books.state.lock();
        let carried = reconcile(state, report, queue.dead_letters());
        match books.wrong() {
            Some(wrong) => Err(wrong),
            None => Ok((carried?, state.tally)),
        }
    }

    fn producers(&mut self, queue: &Handle, books: &Arc<Books>, mut carried: Carried) -> Vec<JoinHandle<()>> {
        let producer = |who| {
            let producer = Producer::new(queue.clone(), books, Some(who), self.random.fork());
            let (carried, operations) = (std::mem::take(&mut carried), self.operations);
            thread::spawn(move || producer.run(carried, operations))
        };
        (0..PRODUCERS).map(producer).collect()
    }

    fn meddlers(
        &mut self,
        queue: &Handle,
        books: &Arc<Books>,
        stop: &Arc<AtomicBool>,
    ) -> Vec<JoinHandle<()>> {
        let (handle, books, stop) = (queue.clone(), books.clone(), stop.clone());
        let random = self.random.fork();
        let meddler = Meddler { handle: handle.clone(), books: books.clone(), random, stop: stop.clone() };
        let watcher = Watcher { handle, books, random: self.random.fork(), stop };
        vec![thread::spawn(move || meddler.run()), thread::spawn(move || watcher.run())]
    }
}

/// A thread with a runtime of its own that runs workers.
struct Member {
    stay: Gate,
    thread: JoinHandle<()>,
}

impl Member {
    fn join<T: TestRuntime>(queue: &Queue<T::Runtime>) -> Self {
        let stay = Gate::new();
        let (queue, gate) = (queue.clone(), stay.clone());
        let thread = thread::spawn(move || {
            T::block_on(|rt| async move {
                rt.start(&queue);
                drop(queue);
                gate.pass().await;
            });
        });
        Self { stay, thread }
    }
}

fn all_finished(threads: &[JoinHandle<()>]) -> bool {
    threads.iter().all(JoinHandle::is_finished)
}

/// Waits for threads without holding up this one, which may be the only one of a runtime.
async fn ended(rt: &impl TestRuntime, threads: Vec<JoinHandle<()>>) -> Result<(), String> {
    rt.until(|| all_finished(&threads)).await;
    threads.into_iter().try_for_each(JoinHandle::join).map_err(|_| "a thread has panicked".to_owned())
}

/// Ends the process when this life takes too long, and says what the queue was waiting for.
fn watch<R: queue_core::Runtime>(queue: &Queue<R>, books: &Arc<Books>) -> Watchdog {
    let (queue, books) = (queue.handle(), books.clone());
    Watchdog::new("soak", DEADLINE, move || format!("{}\nwrong: {:?}", counts(&queue), books.wrong()))
}

fn counts(queue: &Handle) -> String {
    let counts = BOUNDS.map(|bounds| format!("{bounds:?}: {:?}", queue.counts(bounds.name)));
    format!("{queue:?}\n{}", counts.join("\n"))
}
