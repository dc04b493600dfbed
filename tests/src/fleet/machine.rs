//! One machine: a queue on the store, who pushes to it and what runs there.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use queue_sim::{
    Handle, Job, JobError, JobId, Link, Outcome, Priority, PushError, Queue, RetryPolicy, Server, StoreFault,
    World,
};

use super::Plan;
use super::books::{Books, Number};

pub(super) struct Machine {
    pub(super) link: Link,
    queue: Queue,
    number: usize,
    is_dead: Rc<Cell<bool>>,
}

/// What a job brings: its number, and what its handler does.
type Load = (Number, u8);

impl Machine {
    pub(super) fn new(sim: &World, server: &Server, books: &Arc<Books>, plan: &Plan) -> Self {
        let (link, number) = (server.connect(), books.new_machine());
        let queue = Queue::builder()
            .workers(plan.workers)
            .retry(RetryPolicy::fixed(plan.retries, Duration::from_millis(700)))
            .remote(link.remote().lease(plan.lease))
            .build();
        let is_strict = plan.late_wakes == 0.0;
        let (world, pages, handle) = (sim.clone(), books.clone(), queue.handle());
        let workers = plan.workers;
        queue.register("work", move |job: Job| {
            let (world, pages) = (world.clone(), pages.clone());
            if handle.inflight_count() > workers {
                pages.crowded(number);
            }
            async move {
                let (load, behaviour): Load = job.deserialize()?;
                pages.begun(&job, load, number, world.elapsed(), is_strict);
                let _over = Over { books: pages.clone(), id: job.id, machine: number };
                work(&world, &job, behaviour).await
            }
        });
        sim.supervise(&queue);
        let is_dead = Rc::new(Cell::new(false));
        for _ in 0..sim.random().usize(0..3) {
            let pusher = push_some(sim.clone(), queue.handle(), books.clone(), is_dead.clone());
            drop(sim.spawn("pusher", pusher));
        }
        Self { link, queue, number, is_dead }
    }

    /// From one moment to the next it is not there any more: what runs there stops, and nobody is told.
    pub(super) async fn die(self) {
        self.link.cut();
        self.is_dead.set(true);
        self.queue.shutdown(Duration::ZERO).await;
    }

    pub(super) async fn shut_down(self, timeout: Duration) {
        let report = self.queue.shutdown(timeout).await;
        assert!(report.handed_back.is_empty(), "it stays in the store: {report:?} of {}", self.number);
        self.is_dead.set(true);
    }

    pub(super) fn pause(&self, is_paused: bool) {
        let answer = if is_paused { self.queue.pause("default") } else { self.queue.resume("default") };
        answer.expect("it is there");
    }

    pub(super) fn restart(&self) {
        self.queue.start();
    }
}

async fn work(world: &World, job: &Job, behaviour: u8) -> Result<Outcome, queue_sim::BoxError> {
    let mut random = world.random();
    match behaviour {
        0..=2 => {}
        3 => world.sleep(Duration::from_millis(random.u64(0..2_000))).await,
        // Longer than a lease.
        4 => world.sleep(Duration::from_secs(random.u64(0..60))).await,
        5 if job.attempt < 2 => return Err("it fails twice".into()),
        6 => return Err("it always fails".into()),
        7 if random.bool() => panic!("it panics"),
        8 if job.attempt == 0 && random.bool() => return Ok(Outcome::Snooze(Duration::from_millis(300))),
        9 => return Err(JobError::discard("it is hopeless").into()),
        _ => {
            for _ in 0..3 {
                world.sleep(Duration::from_millis(random.u64(0..100))).await;
            }
        }
    }
    Ok(Outcome::Done)
}

/// Whatever ends an attempt, also that it is dropped.
struct Over {
    books: Arc<Books>,
    id: JobId,
    machine: usize,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.books.over(self.id, self.machine);
    }
}

async fn push_some(sim: World, queue: Handle, books: Arc<Books>, is_dead: Rc<Cell<bool>>) {
    let mut random = sim.random();
    for _ in 0..random.usize(0..20) {
        sim.sleep(Duration::from_millis(random.u64(0..1_000))).await;
        let delay = Duration::from_millis(if random.bool() { 0 } else { random.u64(0..3_000) });
        if is_dead.get() {
            return;
        }
        let Some(number) = books.push(sim.elapsed() + delay) else { return };
        let load: Load = (number, random.u8(0..12));
        let priority = Priority::new(random.u8(4..7)).unwrap_or(Priority::NORMAL);
        let pushed = queue.push("work", &load).delay(delay).priority(priority).await;
        let answer = pushed.map_err(|error| match error {
            PushError::Store { error, .. } => error.fault() != StoreFault::Full,
            PushError::ShutDown(_) => false,
            other => panic!("{other}"),
        });
        books.answered(number, answer);
    }
}
