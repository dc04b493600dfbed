//! The contenders: ours on each runtime, and what people use instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use event_listener::{Event, Listener as _};
use queue_core::{Handle, Job, Queue, Runtime, SendFuture};
use queue_smol::Smol;
use serde::{Deserialize, Serialize};

use crate::Burst;

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Burst) -> Duration,
}

/// Ours on tokio first: the ratios are to it.
pub(crate) const CONTENDERS: [Contender; 7] = [
    Contender { name: "queue, tokio 2 threads, 4 workers", run: ours_on_tokio },
    Contender { name: "queue, smol 2 threads, 4 workers", run: ours_on_smol },
    Contender { name: "queue, compio 1 thread, 4 workers", run: |burst| ours_on_compio(burst, 1) },
    Contender { name: "queue, compio 2 threads, 4 workers", run: |burst| ours_on_compio(burst, 2) },
    Contender { name: "tokio::spawn a job, 2 threads", run: tokio_spawn },
    Contender { name: "tokio mpsc, 1 worker, 2 threads", run: tokio_mpsc },
    Contender { name: "inline loop, no queue", run: inline },
];

#[derive(Debug, Serialize, Deserialize)]
struct Mail {
    to: String,
    n: u64,
}

impl Mail {
    fn new(n: u64) -> Self {
        Self { to: "user@example.com".into(), n }
    }

    fn encode(n: u64) -> Vec<u8> {
        serde_json::to_vec(&Self::new(n)).expect("it is plain data")
    }

    fn decode(bytes: &[u8]) -> u64 {
        let mail: Self = serde_json::from_slice(bytes).expect("it was encoded here");
        mail.n + mail.to.len() as u64
    }
}

/// Counts jobs; the last one ends the run.
#[derive(Debug, Default)]
struct Count {
    done: AtomicU64,
    all: Event,
}

impl Count {
    fn one(&self, burst: Burst, payload: &[u8]) {
        if burst.json {
            std::hint::black_box(Mail::decode(payload));
        }
        if self.done.fetch_add(1, Ordering::AcqRel) + 1 == burst.jobs {
            self.all.notify(usize::MAX);
        }
    }

    /// Waits for the last job, on a thread of its own so that no runtime is favoured.
    fn wait(&self, burst: Burst) {
        while self.done.load(Ordering::Acquire) < burst.jobs {
            let listener = self.all.listen();
            if self.done.load(Ordering::Acquire) < burst.jobs {
                listener.wait_timeout(Duration::from_millis(100));
            }
        }
        assert_eq!(self.done.load(Ordering::Acquire), burst.jobs, "a job was doubled");
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn timed(run: impl FnOnce()) -> Duration {
    let started = Instant::now();
    run();
    started.elapsed()
}

fn ours_on_tokio(burst: Burst) -> Duration {
    let runtime = two_threads();
    let queue =
        queue_core::Queue::builder_on(queue_tokio::Tokio::on(runtime.handle().clone())).workers(4).build();
    let count = register(&queue, burst);
    queue.start();
    let handle = queue.handle();
    let time = timed(|| {
        runtime.spawn(async move { push_all(&handle, burst).await });
        count.wait(burst);
    });
    drop(queue);
    time
}

fn ours_on_smol(burst: Burst) -> Duration {
    let executor = Arc::new(smol::Executor::new());
    let queue = Queue::builder_on(Smol::on(&executor)).workers(4).build();
    let count = register(&queue, burst);
    queue.start();
    let handle = queue.handle();
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| smol::block_on(executor.run(stopped.recv())));
        }
        let time = timed(|| {
            executor.spawn(async move { push_all(&handle, burst).await }).detach();
            count.wait(burst);
        });
        drop(stop);
        time
    })
}

fn ours_on_compio(burst: Burst, threads: usize) -> Duration {
    let queue = queue_compio::Queue::builder().workers(4).build();
    let count = register(&queue, burst);
    let (stop, stopped) = smol::channel::bounded::<()>(1);
    let (started, is_started) = smol::channel::unbounded::<()>();
    let (go, gone) = smol::channel::bounded::<()>(1);
    thread::scope(|scope| {
        for number in 0..threads {
            let (queue, stopped, started, gone) = (&queue, &stopped, &started, &gone);
            scope.spawn(move || {
                compio::runtime::Runtime::new().expect("compio starts").block_on(async {
                    queue.start();
                    started.send(()).await.expect("the bench waits");
                    if number == 0 {
                        gone.recv().await.expect("the bench goes on");
                        push_all(queue, burst).await;
                    }
                    // Closed when the bench is over.
                    stopped.recv().await.expect_err("nothing is sent");
                });
            });
        }
        for _ in 0..threads {
            is_started.recv_blocking().expect("every thread starts");
        }
        let time = timed(|| {
            go.send_blocking(()).expect("the first thread waits");
            count.wait(burst);
        });
        drop(stop);
        time
    })
}

fn register<R: Runtime>(queue: &Queue<R>, burst: Burst) -> Arc<Count> {
    let count = Arc::<Count>::default();
    let counter = count.clone();
    queue.register("mail", move |job: Job| -> SendFuture {
        let counter = counter.clone();
        Box::pin(async move {
            counter.one(burst, job.raw_payload());
            Ok(queue_core::Outcome::Done)
        })
    });
    count
}

async fn push_all(queue: &Handle, burst: Burst) {
    for n in 0..burst.jobs {
        let pushed =
            if burst.json { queue.push("mail", &Mail::new(n)).await } else { queue.push("mail", &()).await };
        pushed.expect("there is room");
    }
}

fn tokio_spawn(burst: Burst) -> Duration {
    let runtime = two_threads();
    let count = Arc::<Count>::default();
    let counter = count.clone();
    timed(|| {
        runtime.spawn(async move {
            for n in 0..burst.jobs {
                let counter = counter.clone();
                let payload = payload(burst, n);
                tokio::spawn(async move { counter.one(burst, &payload) });
            }
        });
        count.wait(burst);
    })
}

fn tokio_mpsc(burst: Burst) -> Duration {
    let runtime = two_threads();
    let count = Arc::<Count>::default();
    let counter = count.clone();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    runtime.spawn(async move {
        while let Some(payload) = receiver.recv().await {
            counter.one(burst, &payload);
        }
    });
    timed(|| {
        runtime.spawn(async move {
            for n in 0..burst.jobs {
                sender.send(payload(burst, n)).expect("the worker is there");
            }
        });
        count.wait(burst);
    })
}

fn inline(burst: Burst) -> Duration {
    let count = Count::default();
    timed(|| {
        for n in 0..burst.jobs {
            count.one(burst, &std::hint::black_box(payload(burst, n)));
        }
        count.wait(burst);
    })
}

fn payload(burst: Burst, n: u64) -> Vec<u8> {
    if burst.json { Mail::encode(n) } else { Vec::new() }
}

fn two_threads() -> tokio::runtime::Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("tokio starts")
}
