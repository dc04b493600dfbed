//! Signals to attempts, against workers and handlers that are about to wait.

use std::time::Duration;

use shuttle::future::{block_on, yield_now};

use super::{Log, World, check, end, log_jobs};
use crate::sync::thread;
use crate::{CancelAnswer, DeadReason, Queue};

/// A handler that waits for its cancellation learns of it.
#[test]
fn a_handler_learns_that_it_is_cancelled() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        queue.register("wait", |job| async move {
            job.cancelled().await;
            Ok(())
        });
        let id = queue.try_push("wait", &()).expect("there is room");
        queue.start();
        let answer = queue.cancel(id);
        assert_ne!(answer, CancelAnswer::NotFound);
        let report = end(&queue, &world);
        assert!(report.is_clean(), "{answer:?}: {report:?}");
    });
}

/// A handler that waits for ever is told that its time is up, however its deadline and the clock meet.
#[test]
fn a_handler_is_told_that_its_time_is_up() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).timeout(Duration::from_millis(10)).build();
        let begun = Log::default();
        let own = begun.clone();
        queue.register("hang", move |_| {
            own.add(0);
            std::future::pending::<Result<(), _>>()
        });
        queue.try_push("hang", &()).expect("there is room");
        queue.start();
        block_on(begun.reach(1));
        world.advance(20);
        assert_eq!(end(&queue, &world).handed_back.len(), 0);
        let dead = queue.dead_letters();
        assert_eq!(dead.iter().map(|dead| dead.reason).collect::<Vec<_>>(), [DeadReason::RetriesExhausted]);
    });
}

/// Whoever holds a clone of the job learns that the attempt is over.
#[test]
fn a_clone_of_the_job_learns_of_its_end() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        queue.register("watched", |job| {
            thread::spawn(move || block_on(job.cancelled()));
            async {
                yield_now().await;
                Ok(())
            }
        });
        for _ in 0..3 {
            queue.try_push("watched", &()).expect("there is room");
        }
        queue.start();
        // A watcher that sleeps for ever is a deadlock: shuttle waits for its thread, too.
        end(&queue, &world);
    });
}

/// As above, for an attempt that is the first of a batch, whose worker goes on to the next one without the lock.
#[test]
fn a_clone_learns_of_an_end_within_a_batch() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        log_jobs(&queue);
        queue.register("watched", |job| {
            thread::spawn(move || block_on(job.cancelled()));
            // Long enough for it to begin to wait.
            (0..5).for_each(|_| thread::yield_now());
            async { Ok(()) }
        });
        // The first job is a batch of its own, and the other two the next.
        for kind in ["job", "watched", "job"] {
            queue.try_push(kind, &0).expect("there is room");
        }
        queue.start();
        end(&queue, &world);
    });
}

/// A handler that waits is interrupted by a shutdown that does not, and its job is given back.
#[test]
fn a_handler_is_interrupted() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        queue.register("hang", |_| std::future::pending::<Result<(), _>>());
        let id = queue.try_push("hang", &()).expect("there is room");
        queue.start();
        let report = block_on(queue.shutdown(Duration::ZERO));
        world.join();
        assert_eq!(report.handed_back.iter().map(|back| back.id).collect::<Vec<_>>(), [id]);
        assert!(report.abandoned.is_empty());
    });
}
