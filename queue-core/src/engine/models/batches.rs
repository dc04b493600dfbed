//! A worker's batch, against those who cancel what is in it or take it over.

use shuttle::future::block_on;

use super::{World, check, end, jobs, log_jobs};
use crate::{CancelAnswer, NewJob, Priority, Queue};

/// A job is cancelled or runs, once, wherever in a batch it is.
#[test]
fn a_job_is_cancelled_or_runs() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(2).build();
        let log = log_jobs(&queue);
        let ids = queue.try_push_many(jobs(0..7)).expect("there is room");
        queue.start();
        let mut left = vec![0, 1, 2];
        for (number, id) in ids.into_iter().enumerate().skip(3) {
            match queue.cancel(id) {
                CancelAnswer::Removed => {}
                // It runs at this moment, or has run; its handler does not look.
                CancelAnswer::Asked | CancelAnswer::NotFound => left.push(number),
            }
        }
        let report = end(&queue, &world);
        assert!(report.is_clean());
        assert_eq!(log.sorted(), left);
    });
}

/// Jobs behind one that blocks its thread, in the same batch, are taken over by whoever is idle.
#[test]
fn a_batch_does_not_wait_for_a_job_that_blocks() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(2).build();
        let log = log_jobs(&queue);
        let others = log.clone();
        queue.register("block", move |_| {
            block_on(others.reach(6));
            async { Ok(()) }
        });
        let block = NewJob::json("block", &()).expect("nothing is JSON");
        let all = jobs(0..3).into_iter().chain([block]).chain(jobs(3..6));
        queue.try_push_many(all).expect("there is room");
        queue.start();
        block_on(log.reach(6));
        assert!(end(&queue, &world).is_clean());
        assert_eq!(log.sorted(), [0, 1, 2, 3, 4, 5]);
    });
}

/// A job that is more urgent than a batch has it taken back; all of them run once.
#[test]
fn an_urgent_job_breaks_into_a_batch() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(2).build();
        let log = log_jobs(&queue);
        queue.try_push_many(jobs(0..6)).expect("there is room");
        queue.start();
        queue.push("job", &6).priority(Priority::HIGH).try_push().expect("there is room");
        queue.try_push("job", &7).expect("there is room");
        block_on(log.reach(8));
        assert!(end(&queue, &world).is_clean());
        assert_eq!(log.sorted(), [0, 1, 2, 3, 4, 5, 6, 7]);
    });
}
