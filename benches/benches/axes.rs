//! The cost of a job along each axis, on tokio with 2 threads: all jobs are pushed, and the time ends with the last.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use queue_core::{Builder, NewJob, Priority, QueueConfig};
use queue_tokio::{Queue, Tokio};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

criterion_group! {
    name = axes;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(3));
    targets = workers, named_queues, kinds, payload, delayed, priorities, producers, options
}
criterion_main!(axes);

/// Jobs of one timing; criterion's rounds are jobs, too.
const JOBS: u64 = 20_000;

/// What differs from the usual: 4 workers, one queue, one kind, no payload, one producer.
#[derive(Clone, Debug)]
struct Axis {
    workers: usize,
    queues: usize,
    kinds: usize,
    payload: usize,
    delayed: u64,
    priorities: u8,
    producers: u64,
    timeout: Option<Duration>,
    subscriber: bool,
}

impl Default for Axis {
    fn default() -> Self {
        Self {
            workers: 4,
            queues: 1,
            kinds: 1,
            payload: 0,
            delayed: 0,
            priorities: 1,
            producers: 1,
            timeout: None,
            subscriber: false,
        }
    }
}

fn workers(criterion: &mut Criterion) {
    along(criterion, "workers", [1, 4, 16, 100, 1_000, 10_000], |workers| Axis {
        workers,
        ..Axis::default()
    });
}

fn named_queues(criterion: &mut Criterion) {
    along(criterion, "named queues", [1, 10, 100, 1_000], |n| Axis {
        queues: n,
        kinds: n,
        ..Axis::default()
    });
}

fn kinds(criterion: &mut Criterion) {
    along(criterion, "kinds", [1, 100, 10_000], |kinds| Axis { kinds, ..Axis::default() });
}

fn payload(criterion: &mut Criterion) {
    let sizes = [0, 16, 54, 55, 256, 4_096, 65_536];
    along(criterion, "payload bytes", sizes, |payload| Axis { payload, ..Axis::default() });
}

fn delayed(criterion: &mut Criterion) {
    along(criterion, "delayed pending", [0, 1_000, 1_000_000], |delayed| Axis { delayed, ..Axis::default() });
}

fn priorities(criterion: &mut Criterion) {
    along(criterion, "priorities", [1, 2, 10], |priorities| Axis { priorities, ..Axis::default() });
}

fn producers(criterion: &mut Criterion) {
    along(criterion, "producers", [1, 2, 4, 8], |producers| Axis { producers, ..Axis::default() });
}

fn options(criterion: &mut Criterion) {
    along(criterion, "timeout", [false, true], |on| Axis {
        timeout: on.then_some(Duration::from_hours(1)),
        ..Axis::default()
    });
    along(criterion, "subscriber", [false, true], |subscriber| Axis { subscriber, ..Axis::default() });
}

fn along<T, const N: usize>(criterion: &mut Criterion, name: &str, points: [T; N], axis: impl Fn(T) -> Axis)
where
    T: Copy + std::fmt::Display,
{
    let mut group = criterion.benchmark_group(name);
    for point in points {
        let bed = Bed::new(&axis(point));
        group.bench_function(BenchmarkId::from_parameter(point), |bencher| {
            bencher.iter_custom(|rounds| {
                // Few jobs would measure how fast a thread wakes up.
                let jobs = rounds.max(JOBS);
                bed.run(jobs).mul_f64(float(rounds) / float(jobs))
            });
        });
    }
    group.finish();
}

/// A queue that is started, with what waits in it.
struct Bed {
    runtime: Runtime,
    queue: Queue,
    axis: Axis,
    names: Arc<Vec<String>>,
    left: Arc<Left>,
    _subscription: Option<queue_core::Subscription>,
}

/// How many jobs are still to run.
#[derive(Default)]
struct Left {
    jobs: AtomicU64,
    none: Notify,
}

impl Bed {
    fn new(axis: &Axis) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
        let runtime = runtime.expect("tokio starts");
        let mut builder: Builder<Tokio> = Queue::builder_on(Tokio::on(runtime.handle().clone()));
        builder = builder.defaults(
            QueueConfig::new().workers(axis.workers).capacity(100_000_000).capacity_bytes(usize::MAX),
        );
        if let Some(timeout) = axis.timeout {
            builder = builder.timeout(timeout);
        }
        for n in 0..axis.queues {
            builder = builder.queue(format!("queue-{n}"), QueueConfig::new());
        }
        let queue = builder.build();
        let left = Arc::<Left>::default();
        let names: Vec<String> = (0..axis.kinds).map(|n| format!("kind-{n}")).collect();
        for (n, name) in names.iter().enumerate() {
            let left = left.clone();
            let kind = queue.kind(name.as_str()).queue(format!("queue-{}", n % axis.queues));
            let kind = kind.register(move |_| {
                let left = left.clone();
                async move {
                    if left.jobs.fetch_sub(1, Ordering::AcqRel) == 1 {
                        left.none.notify_one();
                    }
                    Ok(())
                }
            });
            kind.expect("its queue was added above");
        }
        for n in 0..axis.delayed {
            let delay = Duration::from_hours(1) + Duration::from_millis(n);
            queue.push_delayed(&names[0], &1, delay).try_push().expect("there is room");
        }
        let subscription = axis.subscriber.then(|| queue.subscribe(1_024));
        queue.start();
        Self { runtime, queue, axis: axis.clone(), names: Arc::new(names), left, _subscription: subscription }
    }

    #[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
    fn run(&self, jobs: u64) -> Duration {
        let producers = self.axis.producers;
        self.left.jobs.store(jobs, Ordering::Release);
        let started = Instant::now();
        for producer in 0..producers {
            let share = jobs / producers + u64::from(producer < jobs % producers);
            let (handle, names, axis) = (self.queue.handle(), self.names.clone(), self.axis.clone());
            self.runtime.spawn(async move {
                let payload = vec![b'1'; axis.payload];
                for (n, name) in (0..share).zip(names.iter().cycle()) {
                    let push = match axis.payload {
                        0 => handle.push(name, &()),
                        _ => handle.push_job(NewJob::raw(name.as_str(), &payload[..])),
                    };
                    let level = (n % u64::from(axis.priorities)).to_le_bytes()[0];
                    let push = match axis.priorities {
                        1 => push,
                        _ => push.priority(Priority::new(level).expect("it is below 10")),
                    };
                    push.await.expect("there is room");
                }
            });
        }
        self.runtime.block_on(self.left.none.notified());
        started.elapsed()
    }
}

#[expect(clippy::cast_precision_loss, reason = "rounds need no 53 bits")]
fn float(number: u64) -> f64 {
    number as f64
}
