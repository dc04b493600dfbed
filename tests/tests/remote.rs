//! What a queue on a remote store does when something comes between them.
#![cfg(feature = "sim")]

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use queue_sim::remote::{Control, RemoteCancel, RemoteStore as _};
use queue_sim::{
    BoxError, Event, Health, Job, JobId, Link, PushError, Queue, Server, Sim, StoreFault, Subscription, World,
};
use queue_tests::{Gate, Log};

const SECOND: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(10);
const LONG: Duration = Duration::from_hours(1);

/// A queue on the server, with so many workers. Its jobs wait at the gate; what began is in the log.
struct Machine {
    link: Link,
    queue: Queue,
    gate: Gate,
    began: Log<(JobId, u32)>,
    events: Subscription,
}

fn machine(server: &Server, workers: usize) -> Machine {
    let link = server.connect();
    let queue = Queue::builder().workers(workers).remote(link.remote().lease(LEASE)).build();
    let (gate, began) = (Gate::new(), Log::new());
    let (held, notes) = (gate.clone(), began.clone());
    queue.register("work", move |job: Job| {
        let (held, notes) = (held.clone(), notes.clone());
        async move {
            notes.add((job.id, job.attempt));
            held.pass().await;
            Ok::<_, BoxError>(())
        }
    });
    queue.start();
    let events = queue.subscribe(100);
    Machine { link, queue, gate, began, events }
}

impl Machine {
    async fn push(&self) -> JobId {
        self.queue.push("work", &()).await.expect("it is taken")
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.events.try_recv()).collect()
    }
}

fn simulate<F>(test: impl Fn(World, Server) -> F)
where
    F: Future<Output = ()>,
{
    Sim::explore(0..20, |sim| {
        sim.allow_leftovers();
        let server = Server::new(&sim);
        test(sim, server)
    });
}

async fn in_hand(server: &Server) -> usize {
    server.counts("default".into()).await.expect("it answers").in_hand
}

#[test]
fn whoever_is_free_runs_it_and_no_more_is_taken_than_can_be_run() {
    simulate(|sim, server| async move {
        let front = machine(&server, 1);
        front.queue.pause("default").unwrap();
        let (one, two) = (machine(&server, 1), machine(&server, 2));
        for _ in 0..5 {
            front.push().await;
        }
        sim.sleep(2 * SECOND).await;
        assert_eq!((one.began.len(), two.began.len(), in_hand(&server).await), (1, 2, 3));
        assert_eq!((one.queue.pending_count(), two.queue.pending_count()), (0, 0));
        one.gate.open();
        two.gate.open();
        sim.sleep(2 * SECOND).await;
        assert_eq!(server.done().len(), 5);
        assert_eq!(front.began.len(), 0);
    });
}

#[test]
fn a_long_job_keeps_its_lease() {
    simulate(|sim, server| async move {
        let (one, two) = (machine(&server, 1), machine(&server, 1));
        one.push().await;
        sim.sleep(20 * LEASE).await;
        assert_eq!((one.began.len() + two.began.len(), server.expiries()), (1, 0));
        one.gate.open();
        two.gate.open();
        sim.sleep(SECOND).await;
        assert!(server.is_empty());
    });
}

#[test]
fn who_is_cut_off_stops_before_another_begins() {
    simulate(|sim, server| async move {
        let mut cut = machine(&server, 1);
        let id = cut.push().await;
        cut.began.wait_for(1).await;
        cut.link.cut();
        let other = machine(&server, 1);
        other.began.wait_for(1).await;
        assert_eq!(cut.queue.inflight_count(), 0, "it stopped before");
        assert!(matches!(cut.queue.health(), Health::Outage { .. }));
        assert_eq!(other.began.entries(), [(id, 0)], "it is no attempt");
        other.gate.open();
        sim.sleep(SECOND).await;
        assert_eq!(server.done(), [id]);
        cut.link.mend();
        sim.sleep(LEASE).await;
        assert!(cut.queue.health().is_well());
        let events = cut.events();
        assert!(
            events.iter().any(|event| matches!(event, Event::LeaseLost(job) if job.id == id)),
            "{events:?}"
        );
        assert!(
            !events.iter().any(|event| matches!(event, Event::Succeeded(_) | Event::Interrupted(_))),
            "{events:?}"
        );
    });
}

/// What ended while nobody could be told is told, if the lease still lasts then.
#[test]
fn an_end_is_told_late_rather_than_never() {
    simulate(|sim, server| async move {
        let mut cut = machine(&server, 1);
        let id = cut.push().await;
        cut.began.wait_for(1).await;
        cut.link.cut();
        cut.gate.open();
        sim.sleep(LEASE / 2).await;
        assert_eq!(cut.queue.inflight_count(), 0);
        assert!(server.done().is_empty());
        assert!(!cut.events().iter().any(|event| matches!(event, Event::Succeeded(_))), "it is not known");
        cut.link.mend();
        sim.sleep(LEASE / 2).await;
        assert_eq!((server.done(), server.expiries()), (vec![id], 0));
        assert!(cut.events().iter().any(|event| matches!(event, Event::Succeeded(job) if job.id == id)));
    });
}

#[test]
fn a_push_that_cannot_be_sent_is_given_back() {
    simulate(|sim, server| async move {
        let cut = machine(&server, 1);
        cut.link.cut();
        for _ in 0..2 {
            let error = cut.queue.push("work", &"it").await.unwrap_err();
            let PushError::Store { job, error } = error else { panic!("{error}") };
            assert_eq!(&job.payload()[..], b"\"it\"");
            assert!(matches!(error.fault(), StoreFault::InDoubt | StoreFault::Unreachable), "{error}");
        }
        assert!(!cut.queue.health().is_well());
        cut.link.mend();
        sim.sleep(LEASE).await;
        assert!(cut.queue.health().is_well());
        cut.push().await;
    });
}

#[test]
fn a_store_that_is_full_refuses_and_is_well() {
    simulate(|_, server| async move {
        let capacity = Control::Capacity { jobs: 1, bytes: usize::MAX };
        server.control("default".into(), capacity).await.unwrap();
        let front = machine(&server, 1);
        front.queue.pause("default").unwrap();
        front.push().await;
        let error = front.queue.push("work", &()).await.unwrap_err();
        let PushError::Store { error, .. } = error else { panic!("{error}") };
        assert_eq!(error.fault(), StoreFault::Full);
        assert!(front.queue.health().is_well());
    });
}

#[test]
fn a_shutdown_gives_back_at_once_what_it_does_not_finish() {
    simulate(|sim, server| async move {
        let (going, staying) = (machine(&server, 2), machine(&server, 2));
        staying.queue.pause("default").unwrap();
        let pushed = [going.push().await, going.push().await, going.push().await];
        going.began.wait_for(2).await;
        let report = going.queue.shutdown(SECOND).await;
        assert_eq!((report.kept, report.handed_back.len(), report.is_clean()), (2, 0, false));
        assert!(going.queue.push("work", &()).await.unwrap_err().is_shut_down());
        staying.queue.resume("default").unwrap();
        staying.gate.open();
        sim.sleep(LEASE / 2).await;
        let mut done = server.done();
        done.sort_unstable();
        assert_eq!((done, server.expiries()), (pushed.to_vec(), 0));
    });
}

#[test]
fn a_queue_that_is_dropped_gives_back_what_it_had() {
    simulate(|sim, server| async move {
        let gone = machine(&server, 1);
        let id = gone.push().await;
        gone.began.wait_for(1).await;
        drop(gone);
        let other = machine(&server, 1);
        other.gate.open();
        sim.sleep(LEASE / 2).await;
        assert_eq!((server.done(), server.expiries()), (vec![id], 0));
    });
}

#[test]
fn a_pause_gives_back_what_has_not_begun() {
    simulate(|sim, server| async move {
        let paused = machine(&server, 4);
        // Whether it is claimed, on its way, or not asked for yet.
        let pushed = paused.queue.push("work", &()).into_future();
        let (id, ()) = futures_lite::future::zip(pushed, async {
            sim.sleep(Duration::from_micros(sim.random().u64(0..8_000))).await;
            paused.queue.pause("default").unwrap();
        })
        .await;
        let id = id.unwrap();
        let other = machine(&server, 1);
        other.gate.open();
        paused.gate.open();
        sim.sleep(LEASE / 2).await;
        assert_eq!(server.done(), [id], "somebody runs it");
    });
}

#[test]
fn a_cancellation_reaches_who_runs_it() {
    simulate(|sim, server| async move {
        let queue = Queue::builder().workers(1).remote(server.connect().remote().lease(LEASE)).build();
        let running = Log::new();
        let notes = running.clone();
        queue.register("work", move |job: Job| {
            let notes = notes.clone();
            async move {
                notes.add(job.id);
                job.cancelled().await;
                Err::<(), _>("it was cancelled".into())
            }
        });
        queue.start();
        let id = queue.push("work", &()).await.unwrap();
        running.wait_for(1).await;
        assert_eq!(server.cancel(vec![id]).await.unwrap(), [RemoteCancel::Asked]);
        sim.sleep(LEASE).await;
        assert_eq!((server.cancelled(), queue.inflight_count()), (vec![id], 0));
    });
}

#[test]
fn an_idle_queue_asks_now_and_then() {
    simulate(|sim, server| async move {
        let idle = machine(&server, 4);
        sim.sleep(SECOND).await;
        let before = sim.steps();
        sim.sleep(Duration::from_mins(10)).await;
        let steps = (sim.steps() - before) / 600;
        assert!(steps < 20, "{steps} steps a second");
        assert_eq!(idle.queue.shutdown(LONG).await.kept, 0);
    });
}

/// A driver that gives up, or a store that panics.
#[test]
fn a_queue_that_is_not_fed_any_more_says_so() {
    simulate(|sim, server| async move {
        let feeders = Arc::new(Mutex::new(Vec::new()));
        let held = feeders.clone();
        let remote = server.connect().remote().driver(move |feeder| held.lock().push(feeder));
        let queue = Queue::builder().remote(remote).build();
        let pushed = queue.handle();
        let before = sim.spawn("push", async move { pushed.push("work", &1).await });
        sim.settle().await;
        feeders.lock().clear();
        let before = before.await;
        let after = queue.push("work", &2).await;
        for error in [before.unwrap_err(), after.unwrap_err()] {
            let PushError::Store { error, .. } = error else { panic!("{error}") };
            assert_eq!(error.fault(), StoreFault::Closed);
        }
        assert!(!queue.health().is_well());
        queue.shutdown(SECOND).await;
    });
}

/// In a simulation there is no other thread that could answer.
#[test]
#[should_panic(expected = "await the push")]
fn a_call_that_blocks_says_so() {
    Sim::new(1).run(|sim| async move {
        let front = machine(&Server::new(&sim), 1);
        let _ = front.queue.try_push("work", &());
    });
}

/// On real runtimes a thread of its own feeds a queue.
mod on_threads {
    use std::time::{Instant, SystemTime};

    use queue_core::remote::Remote;
    use queue_tests::{TestResult, TestRuntime, handler};

    use super::*;

    macro_rules! on_threads {
        ($($feature:literal $name:ident: $runtime:ty),* $(,)?) => {$(
            #[cfg(feature = $feature)]
            #[test]
            fn $name() {
                queue_tests::run::<$runtime, _>(stringify!($name), jobs_go_through_a_store_that_two_queues_share);
            }
        )*};
    }

    on_threads! {
        "tokio" tokio_multi: queue_tests::runtimes::TokioMulti,
        "tokio" tokio_local: queue_tests::runtimes::TokioLocal,
        "smol" smol_own: queue_tests::runtimes::SmolOwn,
        "compio" compio: queue_tests::runtimes::Compio,
    }

    #[expect(clippy::disallowed_methods, reason = "it is a store, not a queue")]
    async fn jobs_go_through_a_store_that_two_queues_share<T: TestRuntime>(rt: T) -> TestResult {
        let begun = Instant::now();
        let server = Server::with_clock(move || (begun.elapsed(), SystemTime::now()));
        let front = rt.build(rt.builder().remote(Remote::new(server.clone())));
        let (ran, gate) = (Log::new(), Gate::new());
        let back = rt.started(rt.builder().workers(2).remote(Remote::new(server.clone())), |queue| {
            let (ran, gate) = (ran.clone(), gate.clone());
            queue.register(
                "work",
                handler(move |job: Job| {
                    let (ran, gate) = (ran.clone(), gate.clone());
                    async move {
                        ran.add(job.id);
                        gate.pass().await;
                        Ok(())
                    }
                }),
            );
        });
        let first = front.push("work", &1).await?;
        // It blocks this thread, and the feeder has its own.
        let second = front.try_push("work", &2)?;
        let third = back.push("work", &3).await?;
        assert_eq!(ran.wait_for(2).await, [first, second]);
        gate.open();
        assert_eq!(ran.wait_for(3).await, [first, second, third]);
        rt.until(|| server.is_empty()).await;
        assert!(back.shutdown(LONG).await.is_clean());
        assert!(front.shutdown(LONG).await.is_clean());
        Ok(())
    }
}
