//! Shutdown, against pushes, against itself, and against who waits for it.

use std::time::Duration;

use shuttle::future::{block_on, yield_now};

use super::{Log, World, check, end, jobs, log_jobs};
use crate::sync::thread;
use crate::{NewJob, Queue, ShutdownReport};

/// Two threads push what is ready and what is delayed while the queue is shut down. Every job was given back to its push,
/// has run, or is in the report, and in one of these only.
fn adds_up(timeout: Duration) {
    let world = World::new();
    let queue = Queue::builder_on(world.clone()).workers(2).build();
    let log = log_jobs(&queue);
    let own = log.clone();
    queue.register("slow", move |job| {
        let own = own.clone();
        async move {
            yield_now().await;
            own.add(job.deserialize()?);
            Ok(())
        }
    });
    let accepted = Log::default();
    queue.start();
    for pusher in [0, 10] {
        let (queue, accepted) = (queue.clone(), accepted.clone());
        world.go(move || {
            for (number, kind, delay) in [(0, "slow", 0), (1, "job", 0), (2, "job", 5), (3, "job", 0)] {
                let number = pusher + number;
                let push = queue.push(kind, &number);
                let push = if delay > 0 { push.delay(Duration::from_millis(delay)) } else { push };
                match push.try_push() {
                    Ok(_) => accepted.add(number),
                    Err(error) => assert!(error.is_shut_down() && error.into_job().is_some()),
                }
            }
        });
    }
    let report = block_on(queue.shutdown(timeout));
    world.join();
    assert!(report.abandoned.is_empty(), "{report:?}");
    assert_eq!(report.dead_lettered + report.cancelled, 0);
    let ran = log.all().len();
    assert!(report.finished <= ran as u64);
    let mut found = log.all();
    found.extend(numbers(&report));
    found.sort_unstable();
    assert_eq!(found, accepted.sorted(), "{ran} ran: {report:?}");
}

fn numbers(report: &ShutdownReport) -> Vec<usize> {
    let number = |payload| serde_json::from_slice(payload).expect("its payload is a number");
    report.handed_back.iter().map(|back| number(back.job.payload())).collect()
}

#[test]
fn a_patient_shutdown_adds_up() {
    check(|| adds_up(Duration::MAX));
}

#[test]
fn an_impatient_shutdown_adds_up() {
    check(|| adds_up(Duration::ZERO));
}

/// Once an attempt has been told to stop, nothing behind it in its batch begins: it is in the report.
#[test]
fn nothing_of_a_batch_begins_after_an_interruption() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        let log = log_jobs(&queue);
        let own = log.clone();
        queue.register("stay", move |job| {
            // It keeps its thread, so that its worker still has the batch in hand.
            while !job.is_cancelled() {
                thread::yield_now();
            }
            own.add(4);
            async { Ok(()) }
        });
        let stay = NewJob::json("stay", &4).expect("a number is JSON");
        let all = jobs([0]).into_iter().chain([stay]).chain(jobs(1..3));
        queue.try_push_many(all).expect("there is room");
        queue.start();
        // The first job is a batch of its own, and the next one is of two.
        block_on(log.reach(1));
        let report = block_on(queue.shutdown(Duration::ZERO));
        world.join();
        let ran = log.all();
        if ran.contains(&4) {
            assert_eq!(ran.last(), Some(&4), "what began after it was not interrupted");
        }
        let mut all = [ran, numbers(&report)].concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 4]);
    });
}

/// All who shut down get the same report, and whoever runs the queue is let go.
#[test]
fn everyone_gets_the_same_report() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        let log = log_jobs(&queue);
        queue.start();
        for number in 0..2 {
            queue.try_push("job", &number).expect("there is room");
        }
        let runner = queue.clone();
        world.go(move || block_on(runner.run()));
        let other = queue.clone();
        let other = thread::spawn(move || block_on(other.shutdown(Duration::ZERO)));
        let report = end(&queue, &world);
        let other = other.join().expect("its thread passes");
        assert_eq!((report.finished, numbers(&report)), (other.finished, numbers(&other)));
        assert_eq!(log.all().len() + report.handed_back.len(), 2);
    });
}

/// Pushes that wait for room are sent away with their jobs; those that got in are handed back.
#[test]
fn waiting_pushes_are_sent_away() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).capacity(1).build();
        let accepted = Log::default();
        for number in 0..3 {
            let (queue, accepted) = (queue.clone(), accepted.clone());
            world.go(move || match block_on(async { queue.push("job", &number).await }) {
                Ok(_) => accepted.add(number),
                Err(error) => assert!(error.is_shut_down() && error.into_job().is_some()),
            });
        }
        let report = end(&queue, &world);
        assert_eq!(numbers(&report), accepted.all());
    });
}
