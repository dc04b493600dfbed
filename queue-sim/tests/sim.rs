//! What the simulator promises: it repeats itself, it finds what hangs, it injects what it says.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use queue_sim::{Chaos, Jitter, Queue, RetryPolicy, Sim, Timer as _, World};

const HOUR: Duration = Duration::from_hours(1);

/// A bit of everything, under all faults.
async fn busy(sim: World) -> usize {
    sim.chaos(Chaos::some());
    let retry = RetryPolicy::exponential(20, Duration::from_millis(10)).jitter(Jitter::Full);
    let queue = Queue::builder().workers(3).retry(retry).build();
    let inner = sim.clone();
    let handler = move |_| {
        let sim = inner.clone();
        async move {
            sim.sleep(Duration::from_millis(3)).await;
            Ok(())
        }
    };
    queue.register("work", sim.chaotic(handler));
    sim.supervise(&queue);
    for number in 0..30 {
        queue.push("work", &number).delay(Duration::from_millis(number % 7)).await.expect("there is room");
        sim.sleep(Duration::from_millis(1)).await;
    }
    sim.calm();
    sim.drain(&queue).await;
    queue.shutdown(HOUR).await;
    queue.dead_letter_count()
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..20 {
        let (_, one) = Sim::new(seed).traced(busy).expect("it ends");
        let (_, two) = Sim::new(seed).traced(busy).expect("it ends");
        assert_eq!(one.to_string(), two.to_string());
        assert_eq!(one, two);
    }
}

#[test]
fn different_seeds_give_different_traces() {
    let digest = |seed| Sim::new(seed).traced(busy).expect("it ends").1.digest();
    assert_eq!((0..50).map(digest).collect::<std::collections::BTreeSet<_>>().len(), 50);
}

#[test]
fn every_fault_strikes() {
    let traces: String =
        (0..10).map(|seed| Sim::new(seed).traced(busy).expect("it ends").1.to_string()).collect();
    for fault in [
        "CRASH",
        "RESTART",
        "SPURIOUS WAKE",
        "LATE WAKE",
        "CLOCK AHEAD",
        "WALL CLOCK AHEAD",
        "WALL CLOCK BACK",
        "FAULT the handler panics",
        "FAULT the handler is dropped",
    ] {
        assert!(traces.contains(fault), "no {fault}");
    }
}

#[test]
fn time_moves_on_only_when_nothing_can_run() {
    Sim::explore(0..20, |sim| async move {
        let start = (sim.now(), sim.wall());
        let inner = sim.clone();
        let sleeper = sim.spawn("sleeper", async move {
            inner.sleep(HOUR).await;
            inner.elapsed()
        });
        let mut turns = 0;
        poll_fn(|cx| {
            turns += 1;
            cx.waker().wake_by_ref();
            if turns == 100 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(sim.elapsed(), Duration::ZERO);
        assert_eq!(sleeper.await, HOUR);
        assert_eq!(sim.now() - start.0, HOUR);
        assert_eq!(sim.wall(), start.1 + HOUR);
        assert!(start.1 > SystemTime::UNIX_EPOCH);
    });
}

#[test]
fn the_seed_decides_who_runs_next() {
    let order = |seed| {
        Sim::new(seed).run(|sim| async move {
            let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
            for number in 0..4 {
                let log = log.clone();
                drop(sim.spawn("note", async move { log.borrow_mut().push(number) }));
            }
            sim.settle().await;
            log.take()
        })
    };
    let orders: std::collections::BTreeSet<_> = (0..500).map(order).collect();
    assert_eq!(orders.len(), 24, "every order comes up");
}

#[test]
fn a_deadlock_names_who_waits() {
    let failure = Sim::new(3)
        .traced(|sim| async move {
            let queue = Queue::builder().workers(1).build();
            queue.register("hang", |_| pending::<Result<(), _>>());
            queue.start();
            queue.push("hang", &()).await.expect("there is room");
            sim.spawn("reader", pending::<()>()).await;
        })
        .expect_err("nobody can go on");
    let text = failure.to_string();
    assert!(text.contains("deadlock"), "{text}");
    assert!(text.contains("reader"), "{text}");
    assert!(text.contains("Worker { queue: \"default\", running: Some("), "{text}");
    assert!(text.ends_with("run it again with: Sim::new(3)"), "{text}");
}

#[test]
fn a_livelock_ends_with_the_budget() {
    let run = |sim: World| async move {
        sim.limit_steps(1000);
        poll_fn::<(), _>(|cx| {
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    };
    let failure = Sim::new(3).traced(run).expect_err("it never ends");
    assert!(failure.reason().starts_with("livelock"), "{failure}");
}

#[test]
fn what_outlives_the_run_is_an_error() {
    let leaking = |sim: World| async move { drop(sim.spawn("forgotten", pending::<()>())) };
    let failure = Sim::new(3).traced(leaking).expect_err("a task is left");
    assert!(
        failure.reason().contains("outlive the run") && failure.reason().contains("forgotten"),
        "{failure}"
    );

    let captured = |_| async {
        let queue = Queue::new();
        let kept = queue.clone();
        queue.register("cycle", move |_| {
            let _kept = kept.clone();
            async { Ok(()) }
        });
        queue.start();
    };
    let failure = Sim::new(3).traced(captured).expect_err("its workers are left");
    assert!(failure.reason().contains("Worker"), "{failure}");
}

#[test]
fn leftovers_may_be_allowed() {
    let run = |sim: World| async move {
        sim.allow_leftovers();
        drop(sim.spawn("forgotten", pending::<()>()));
    };
    assert!(Sim::new(3).traced(run).is_ok());
}

#[test]
fn a_panic_is_a_failure_with_its_message() {
    let run = |_| async {
        let message: Box<dyn std::any::Any + Send> = Box::new("oh no");
        if message.is::<&str>() {
            std::panic::resume_unwind(message);
        }
    };
    let failure = Sim::new(3).traced(run).expect_err("it panics");
    assert_eq!(failure.reason(), "oh no");
}

#[test]
#[should_panic(expected = "seed 13 fails")]
fn exploring_stops_at_the_first_seed_that_fails() {
    Sim::explore(10..20, |sim| async move {
        if sim.seed() >= 13 {
            pending::<()>().await;
        }
    });
}

#[test]
fn a_week_of_hourly_jobs() {
    Sim::new(1).run(|sim| async move {
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        let queue = Queue::new();
        queue.register("hourly", move |job| {
            counted.fetch_add(1, Ordering::Relaxed);
            async move {
                job.handle().push("hourly", &()).delay(HOUR).await?;
                Ok(())
            }
        });
        queue.start();
        queue.push("hourly", &()).delay(HOUR).await.expect("there is room");
        sim.advance(Duration::from_hours(24 * 7)).await;
        // Each is rounded up by a tick at most, so the last one of the week may be the first of the next.
        assert!((167..=168).contains(&runs.load(Ordering::Relaxed)), "{runs:?}");
        let steps = sim.steps();
        assert!(steps < 168 * 20, "{steps} steps: someone polls");
        queue.shutdown(HOUR).await;
    });
}

#[test]
fn a_week_of_jobs_that_were_planned_ahead() {
    Sim::new(1).run(|sim| async move {
        let runs = Arc::new(AtomicU64::new(0));
        let counted = runs.clone();
        let queue = Queue::new();
        queue.register("hourly", move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        queue.start();
        for hour in 1..=24 * 7 {
            queue.push("hourly", &hour).delay(HOUR * hour).await.expect("there is room");
        }
        for day in 1..=7 {
            sim.advance(Duration::from_hours(24)).await;
            assert_eq!(runs.load(Ordering::Relaxed), day * 24);
        }
        sim.drain(&queue).await;
    });
}

#[test]
fn a_paused_queue_does_not_drain() {
    let failure = Sim::new(3)
        .traced(|sim| async move {
            let queue = Queue::new();
            queue.start();
            queue.pause("default").expect("it exists");
            queue.push("work", &()).await.expect("there is room");
            sim.drain(&queue).await;
        })
        .expect_err("it cannot drain");
    assert!(failure.reason().starts_with("deadlock"), "{failure}");
}

#[test]
fn jitter_follows_from_the_seed() {
    let seed = |seed| Sim::new(seed).run(|sim| async move { queue_sim::Runtime::seed(&sim) });
    assert_eq!((seed(1), seed(2)), (Some(1), Some(2)));
}

/// A change to what a seed means is noticed here. So is a machine that understands it differently.
#[test]
fn a_seed_means_the_same_everywhere() {
    let run = |sim: World| async move {
        sim.chaos(Chaos::some());
        let mut random = sim.random();
        let tasks: Vec<_> = (0..5)
            .map(|_| {
                let (sim, time) = (sim.clone(), Duration::from_micros(random.u64(0..5000)));
                sim.clone().spawn("sleeper", async move { sim.sleep(time).await })
            })
            .collect();
        for task in tasks {
            task.await;
        }
    };
    let trace = Sim::new(2030).traced(run).expect("it ends").1;
    assert_eq!((trace.len(), trace.digest()), (33, 12_386_342_372_374_163_534));
}

/// A jump of the clock makes someone late, who needs no more time to go on.
#[test]
fn settling_sees_to_what_a_jump_made_due() {
    Sim::explore(0..50, |sim| async move {
        let late = sim.spawn("sleeper", sim.sleep(Duration::from_nanos(1)));
        sim.settle().await;
        sim.chaos(Chaos::none().clock_jumps(1.0));
        let mut polled = 0;
        poll_fn(|cx| {
            polled += 1;
            cx.waker().wake_by_ref();
            if polled < 20 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        sim.calm();
        let jumped = sim.elapsed();
        sim.settle().await;
        assert!(late.is_over(), "it is late at {jumped:?}");
        assert_eq!(sim.elapsed(), jumped);
    });
}
