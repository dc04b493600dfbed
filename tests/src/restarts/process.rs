//! One process: a queue on the disk, who pushes to it and who watches it, until it is killed or shuts down.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use queue_sim::{
    BoxError, CancelAnswer, Chaos, Disk, Handle, Job, JobError, NewJob, Outcome, Priority, Queue,
    QueueConfig, RetryPolicy, Subscription, Timer as _, World,
};

use super::Plan;
use super::books::{Books, Number};

pub(super) struct Process {
    pub(super) plan: Plan,
    pub(super) disk: Disk,
    pub(super) books: Arc<Books>,
    pub(super) number: u64,
}

/// What a job brings: its number, what its handler does, and something to be large with.
type Load = (Number, u8, String);

impl Process {
    /// Lives until it is killed or shut down.
    pub(super) async fn run(self, sim: World) {
        sim.limit_steps(1_000_000);
        let mut random = sim.random();
        let queue = self.start(&sim, &mut random);
        sim.chaos(
            Chaos::none()
                .late_wakes(0.05)
                .crashes(self.plan.crashes)
                .disk_failures(self.plan.disk_failures)
                .disk_lies(self.plan.disk_lies)
                .disk_stalls(self.plan.disk_stalls),
        );
        let pushers: Vec<_> = (0..random.usize(0..3))
            .map(|_| {
                sim.spawn("pusher", push(sim.clone(), queue.handle(), self.books.clone(), self.plan.clone()))
            })
            .collect();
        let life = Duration::from_micros(random.u64(0..60_000));
        sim.sleep(life).await;
        if random.u8(0..100) < self.plan.kills {
            self.disk.crash();
            self.books.killed();
            sim.kill();
            return;
        }
        let report = queue.shutdown(Duration::from_millis(random.u64(0..50))).await;
        for pusher in pushers {
            pusher.await;
        }
        drop(queue);
        sim.settle().await;
        let kept = report.kept + report.abandoned.len();
        let jobs = self.disk.jobs().len();
        // What seemed not to be written may be, and what was done may not be written yet.
        let is_certain =
            self.plan.disk_failures == 0.0 && self.plan.disk_lies == 0.0 && self.plan.disk_stalls == 0.0;
        assert!(!is_certain || jobs == kept, "{jobs} jobs are on the disk, {kept} were kept: {report:?}");
        self.disk.crash();
        self.books.killed();
        sim.kill();
    }

    /// Lives until all that there is has run.
    pub(super) async fn end(self, sim: World) {
        sim.limit_steps(1_000_000);
        let mut random = sim.random();
        let queue = self.start(&sim, &mut random);
        sim.drain(&queue).await;
        let report = queue.shutdown(Duration::from_mins(1)).await;
        assert!(report.is_clean(), "a drained queue holds nothing: {report:?}");
        sim.settle().await;
        assert!(self.disk.jobs().is_empty(), "{:?} are on the disk of a drained queue", self.disk.jobs());
        self.books.check(&self.disk);
    }

    fn start(&self, sim: &World, random: &mut Rng) -> Queue {
        sim.note(format_args!("process {}: {:?}", self.number, self.plan));
        let downtime = Duration::from_secs(random.u64(0..7_200));
        sim.set_wall(sim.wall() + downtime - Duration::from_hours(1));
        self.books.begin(&self.disk, sim);
        let config = QueueConfig::new()
            .workers(self.plan.workers)
            .capacity(self.plan.capacity)
            .dead_letters(self.plan.dead_letters)
            .retry(RetryPolicy::fixed(self.plan.retries, Duration::from_millis(random.u64(0..10))));
        let store = self.disk.open().expect("the process before it is over");
        let queue = sim.queue_builder().queue("default", config).store(store).build();
        assert_eq!(queue.pending_count(), self.disk.jobs().len(), "all that is on the disk waits");
        let (books, world, evicts) = (self.books.clone(), sim.clone(), self.plan.dead_letters < 100);
        queue.register("work", move |job: Job| run(world.clone(), books.clone(), evicts, job));
        let books = self.books.clone();
        sim.watch(move |_| books.look());
        drop(sim.spawn("subscriber", watch(queue.subscribe(2_000), self.books.clone())));
        sim.supervise(&queue);
        queue
    }
}

async fn watch(mut events: Subscription, books: Arc<Books>) {
    while let Some(event) = events.recv().await {
        books.saw(&event);
    }
    assert_eq!(events.missed(), 0);
}

async fn run(sim: World, books: Arc<Books>, evicts: bool, job: Job) -> Result<Outcome, BoxError> {
    let (number, deed, _) = job.deserialize::<Load>()?;
    let _inside = Books::enter(&books, &job, number, sim.elapsed());
    if evicts {
        // It may become a dead letter, and have to make room for another one.
        books.over(number);
    }
    match deed % 10 {
        0..=3 => sim.sleep(Duration::from_micros(u64::from(deed) * 50)).await,
        4 => sim.sleep(Duration::from_secs(1)).await,
        _ => {}
    }
    match deed / 10 {
        0..=3 => return Err("it fails".into()),
        4 if job.attempt == 0 => return Err("it fails once".into()),
        5 if books.snoozes(number) => {
            return Ok(Outcome::snooze(Duration::from_millis(u64::from(deed % 10))));
        }
        6 => {
            books.over(number);
            return Err(JobError::discard("it is no good").into());
        }
        7 => {
            books.over(number);
            return Ok(Outcome::cancel("nobody wants it"));
        }
        _ => {}
    }
    books.over(number);
    Ok(Outcome::Done)
}

async fn push(sim: World, queue: Handle, books: Arc<Books>, plan: Plan) {
    let mut random = sim.random();
    loop {
        for _ in 0..random.usize(1..10) {
            let number = books.next();
            let job = job(&mut random, number, plan.large);
            let delay = if random.u8(0..5) == 0 {
                Duration::from_micros(random.u64(0..20_000))
            } else {
                Duration::ZERO
            };
            books.pushing(number, delay, sim.elapsed());
            let job = job.delay(delay);
            let pushed = match random.u8(0..4) {
                0 => queue.push_job(job).try_push().map_err(|error| error.is_shut_down()),
                1 => {
                    let pushed = queue.push_many([job]).await;
                    pushed.map(|ids| ids[0]).map_err(|error| error.is_shut_down())
                }
                _ => queue.push_job(job).await.map_err(|error| error.is_shut_down()),
            };
            match pushed {
                Ok(id) => books.accepted(number, id),
                Err(true) => return,
                Err(false) => {}
            }
        }
        match random.u8(0..8) {
            0 => {
                if let Some((number, id)) = books.some_job(&mut random) {
                    match queue.cancel(id) {
                        CancelAnswer::Removed => books.cancelled(number, queue.health().is_well()),
                        // Interrupted, it is cancelled without having had its say.
                        CancelAnswer::Asked => books.over(number),
                        _ => {}
                    }
                }
            }
            1 => drop(queue.requeue_where(|dead| books.revive(dead.id))),
            2 => {
                let dead = queue.dead_letters();
                books.purging(dead.iter().map(|dead| dead.id));
                queue.clear_dead_letters();
            }
            _ => {}
        }
        sim.sleep(Duration::from_micros(random.u64(0..5_000))).await;
    }
}

fn job(random: &mut Rng, number: Number, large: u8) -> NewJob {
    let padding = if random.u8(0..100) < large { random.usize(50..500) } else { 0 };
    let load: Load = (number, random.u8(0..100), "x".repeat(padding));
    let job = NewJob::json("work", &load).expect("numbers and text");
    let job = job.priority(Priority::new(random.u8(3..6)).expect("below 10"));
    match random.u8(0..10) {
        0 => job.retry(RetryPolicy::fixed(1, Duration::from_millis(2))),
        1 => job.timeout(Duration::from_millis(100)),
        _ => job,
    }
}
