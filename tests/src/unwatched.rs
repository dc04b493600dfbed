//! The life of a queue that nobody subscribes to.
//!
//! Workers claim in batches only while there are no subscribers, so what [`workload`](crate::workload) sees of a queue is
//! not all of what users run. Here the handlers and the pushers keep the books themselves.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use queue_sim::{
    CancelAnswer, Chaos, Failure, Handle, Job, JobId, Moment, NewJob, Priority, Queue, QueueConfig,
    RetryPolicy, ShutdownReport, Sim, Trace, World,
};

/// Runs the life of one seed.
///
/// # Errors
///
/// [`Failure`], if something does not hold or the simulation hangs.
pub fn simulate(seed: u64) -> Result<Trace, Failure> {
    Sim::new(seed).traced(live).map(|((), trace)| trace)
}

#[derive(Debug)]
struct Plan {
    workers: usize,
    limit: usize,
    capacity: usize,
    /// Attempts that may fail, and then run again.
    retries: u32,
    crashes: f64,
    /// Of a hundred jobs, how many have to wait for something, and how many fail.
    waits: u8,
    fails: u8,
    /// How many priorities there are.
    priorities: u8,
    bursts: usize,
    early_shutdown: Option<Duration>,
}

impl Plan {
    fn new(random: &mut Rng) -> Self {
        Self {
            workers: random.usize(1..=4),
            limit: random.usize(1..=4),
            capacity: if random.bool() { 100_000 } else { random.usize(1..40) },
            retries: if random.bool() { 0 } else { 3 },
            crashes: if random.u8(0..3) == 0 { random.f64() * 0.05 } else { 0.0 },
            waits: if random.bool() { 0 } else { random.u8(0..30) },
            fails: if random.bool() { 0 } else { random.u8(0..30) },
            priorities: if random.bool() { 1 } else { random.u8(2..=4) },
            bursts: random.usize(1..8),
            early_shutdown: (random.u8(0..3) == 0).then(|| Duration::from_micros(random.u64(0..20_000))),
        }
    }

    /// Nothing but pushes makes jobs wait.
    fn is_strict(&self) -> bool {
        self.crashes == 0.0 && self.retries == 0
    }
}

async fn live(sim: World) {
    sim.limit_steps(1_000_000);
    let mut random = sim.random();
    let plan = Arc::new(Plan::new(&mut random));
    sim.note(format_args!("{plan:?}"));
    let config = QueueConfig::new()
        .workers(plan.workers)
        .limit(plan.limit)
        .capacity(plan.capacity)
        .retry(RetryPolicy::fixed(plan.retries, Duration::from_millis(3)));
    let queue = sim.queue_builder().queue("default", config).build();
    let books = Arc::new(Books::new(plan.clone(), queue.handle()));
    register(&sim, &queue, &books);
    sim.chaos(Chaos::none().crashes(plan.crashes).spurious_wakes(0.05).late_wakes(0.05));
    sim.supervise(&queue);
    let watching = books.clone();
    sim.watch(move |moment| watching.look(moment));

    let pushers: Vec<_> = (0..2)
        .map(|_| sim.spawn("pusher", push(sim.clone(), queue.handle(), books.clone(), plan.bursts)))
        .collect();
    if let Some(after) = plan.early_shutdown {
        sim.sleep(after).await;
        let report = queue.shutdown(Duration::from_millis(random.u64(0..5))).await;
        for pusher in pushers {
            pusher.await;
        }
        books.end(&report);
        return;
    }
    for pusher in pushers {
        while !pusher.is_over() {
            sim.sleep(Duration::from_millis(1)).await;
            books.resume();
        }
    }
    sim.calm();
    books.settle();
    sim.drain(&queue).await;
    let report = queue.shutdown(Duration::from_secs(1)).await;
    assert_eq!((report.handed_back.len(), report.abandoned.len()), (0, 0), "a drained queue holds nothing");
    books.end(&report);
}

fn register(sim: &World, queue: &Queue, books: &Arc<Books>) {
    let (sim, books) = (sim.clone(), books.clone());
    queue.register("work", move |job: Job| {
        let inside = Inside::enter(&books, &job);
        let sim = sim.clone();
        let (dice, deed) = job.deserialize::<(u8, u8)>().unwrap_or_default();
        let (waits, fails) = (books.plan.waits, books.plan.fails);
        async move {
            inside.books.keep(|books| books.meddle(&job, deed));
            if dice < waits {
                sim.sleep(Duration::from_micros(u64::from(dice) * 100)).await;
            }
            if (100 - dice) <= fails {
                inside.books.failed(inside.id, job.is_cancelled());
                return Err("it fails".into());
            }
            inside.books.succeeded(inside.id);
            Ok(())
        }
    });
}

async fn push(sim: World, queue: Handle, books: Arc<Books>, bursts: usize) {
    let mut random = sim.random();
    let mut ids = Vec::new();
    for _ in 0..bursts {
        for _ in 0..random.usize(1..80) {
            let payload = (random.u8(0..100), random.u8(0..60));
            let job = NewJob::json("work", &payload).expect("these are numbers");
            let level = 3 + random.u8(0..books.plan.priorities);
            let job = job.priority(Priority::new(level).expect("below 10"));
            if let Ok(id) = queue.push_job(job).try_push() {
                books.accepted(id, level);
                ids.push(id);
            }
            if random.u8(0..8) == 0
                && let Some(id) = random.choice(&ids)
            {
                books.cancelled(*id, queue.cancel(*id));
            }
            match random.u8(0..40) {
                0 => books.pause(),
                1 => books.resume(),
                2..6 => sim.sleep(Duration::from_micros(random.u64(0..300))).await,
                _ => {}
            }
        }
        sim.sleep(Duration::from_micros(random.u64(0..3000))).await;
    }
}

/// What became of every job, as far as handlers and pushers know.
struct Books {
    plan: Arc<Plan>,
    queue: Handle,
    state: Mutex<State>,
    /// What a handler found wrong: the queue takes its panic for a failed attempt.
    broken: Mutex<Option<Box<dyn Any + Send>>>,
}

#[derive(Default)]
struct State {
    accepted: BTreeMap<JobId, u8>,
    live: BTreeSet<JobId>,
    started: BTreeSet<JobId>,
    succeeded: BTreeSet<JobId>,
    removed: BTreeSet<JobId>,
    /// Asked to stop, and perhaps cancelled for that.
    asked: BTreeSet<JobId>,
    /// Failed after they were asked to stop.
    given_up: BTreeSet<JobId>,
    latest: BTreeMap<u8, JobId>,
    is_paused: bool,
    /// Nobody may pause it any more.
    is_settled: bool,
}

impl Books {
    fn new(plan: Arc<Plan>, queue: Handle) -> Self {
        Self { plan, queue, state: Mutex::default(), broken: Mutex::default() }
    }

    /// Checks something in a handler, and keeps what is wrong for [`look`](Self::look).
    fn keep(&self, check: impl FnOnce(&Self)) {
        if let Err(wrong) = catch_unwind(AssertUnwindSafe(|| check(self))) {
            self.broken.lock().get_or_insert(wrong);
        }
    }

    fn accepted(&self, id: JobId, level: u8) {
        let mut state = self.state.lock();
        assert!(state.accepted.insert(id, level).is_none(), "{id} is the number of two jobs");
        drop(state);
        let counts = self.queue.counts("default").expect("it exists");
        let waiting = counts.ready + counts.delayed;
        assert!(!self.plan.is_strict() || waiting <= self.plan.capacity, "{waiting} jobs wait");
    }

    fn entered(&self, id: JobId) {
        let state = &mut *self.state.lock();
        assert!(!state.is_paused, "{id} starts while the queue is paused");
        assert!(!state.succeeded.contains(&id), "{id} runs again after it succeeded");
        assert!(!state.removed.contains(&id), "{id} runs although it was cancelled");
        assert!(!state.given_up.contains(&id), "{id} runs again although it was cancelled");
        assert!(state.live.insert(id), "{id} runs twice at once");
        assert!(state.live.len() <= self.plan.limit, "{:?} run, more than the limit", state.live);
        let is_first = state.started.insert(id);
        // With more workers, or workers that come back, only the claims are in order.
        if is_first && self.plan.workers.min(self.plan.limit) == 1 && self.plan.crashes == 0.0 {
            let level = state.accepted.get(&id).copied().unwrap_or_default();
            let before = state.latest.insert(level, id);
            assert!(before.is_none_or(|before| before < id), "{id} starts after {before:?}");
        }
    }

    fn left(&self, id: JobId) {
        self.state.lock().live.remove(&id);
    }

    fn succeeded(&self, id: JobId) {
        self.state.lock().succeeded.insert(id);
    }

    fn failed(&self, id: JobId, is_cancelled: bool) {
        if is_cancelled {
            self.state.lock().given_up.insert(id);
        }
    }

    fn cancelled(&self, id: JobId, answer: CancelAnswer) {
        let state = &mut *self.state.lock();
        match answer {
            CancelAnswer::Removed => {
                assert!(
                    !state.live.contains(&id) && !state.succeeded.contains(&id),
                    "{id} was no longer waiting"
                );
                assert!(state.removed.insert(id), "{id} was removed twice");
            }
            CancelAnswer::Asked => drop(state.asked.insert(id)),
            _ => assert!(!state.live.contains(&id), "{id} runs, and is not found"),
        }
    }

    /// What comes from inside of a handler comes in the middle of a batch.
    fn meddle(&self, job: &Job, deed: u8) {
        match deed {
            0..=9 => {
                let next = JobId::new(job.id.as_u64() + u64::from(deed));
                if deed > 0 && self.state.lock().accepted.contains_key(&next) {
                    self.cancelled(next, self.queue.cancel(next));
                }
            }
            10 => self.pause(),
            11 => self.resume(),
            12..=14 => {
                let job = NewJob::json("work", &(99, 99)).expect("these are numbers");
                if let Ok(id) = self.queue.push_job(job.priority(Priority::HIGHEST)).try_push() {
                    self.accepted(id, 0);
                }
            }
            15 => self.add_up(),
            _ => {}
        }
    }

    fn settle(&self) {
        self.state.lock().is_settled = true;
        self.resume();
    }

    fn pause(&self) {
        if self.state.lock().is_settled {
            return;
        }
        self.queue.pause("default").expect("it exists");
        self.state.lock().is_paused = true;
    }

    fn resume(&self) {
        self.state.lock().is_paused = false;
        self.queue.resume("default").expect("it exists");
    }

    /// Between the steps of a simulation the queue counts as we do.
    fn look(&self, moment: Moment) {
        if let Some(wrong) = self.broken.lock().take() {
            resume_unwind(wrong);
        }
        if moment == Moment::Lull {
            self.add_up();
            self.nobody_waits();
        }
    }

    /// Nothing else happens until time moves on: what is ready and may run has a worker.
    fn nobody_waits(&self) {
        let counts = self.queue.counts("default").expect("it exists");
        let idle = self.plan.limit.min(counts.workers) - counts.running;
        let all_run = counts.ready == 0 || idle == 0 || counts.is_paused;
        assert!(all_run, "{} jobs are ready, and {idle} workers idle", counts.ready);
    }

    fn add_up(&self) {
        if self.plan.early_shutdown.is_some() {
            return;
        }
        let state = self.state.lock();
        assert_eq!(self.queue.inflight_count(), state.live.len(), "jobs that run");
        let held = self.queue.pending_count() + self.queue.dead_letter_count() + state.live.len();
        let gone = state.succeeded.len() + state.removed.len() + state.given_up.len();
        // Who was asked to stop and then interrupted is cancelled without having had its say.
        let unknown = if self.plan.crashes == 0.0 { 0 } else { state.asked.len() };
        let all = state.accepted.len();
        assert!(
            (all - unknown..=all).contains(&(held + gone)),
            "{held} are held, {gone} are gone, {all} were accepted"
        );
    }

    fn end(&self, report: &ShutdownReport) {
        let state = self.state.lock();
        let dead: BTreeSet<_> = self.queue.dead_letters().iter().map(|dead| dead.id).collect();
        let handed_back: BTreeSet<_> = report.handed_back.iter().map(|job| job.id).collect();
        for id in state.accepted.keys() {
            let places = [
                state.succeeded.contains(id),
                state.removed.contains(id),
                state.given_up.contains(id),
                dead.contains(id),
                handed_back.contains(id),
                report.abandoned.contains(id),
            ];
            let count = places.iter().filter(|is_there| **is_there).count();
            let is_known = count == 1 || (count == 0 && state.asked.contains(id));
            assert!(
                is_known,
                "{id}: succeeded, removed, given up, dead, handed back, abandoned = {places:?}"
            );
        }
    }
}

/// A run of a handler.
struct Inside {
    books: Arc<Books>,
    id: JobId,
}

impl Inside {
    fn enter(books: &Arc<Books>, job: &Job) -> Self {
        books.keep(|books| books.entered(job.id));
        Self { books: books.clone(), id: job.id }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.books.left(self.id);
    }
}
