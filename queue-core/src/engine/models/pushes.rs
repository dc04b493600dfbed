//! Pushes against workers that go to sleep.

use shuttle::future::block_on;

use super::{World, check, end, jobs, log_jobs};
use crate::Queue;

/// However pushes and workers meet, every job runs, and none waits for another push to be noticed.
#[test]
fn every_push_is_noticed() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(2).build();
        let log = log_jobs(&queue);
        queue.start();
        for pusher in [0, 10] {
            let queue = queue.clone();
            world.go(move || {
                for number in 0..3 {
                    block_on(async { queue.push("job", &(pusher + number)).await }).expect("it is open");
                }
            });
        }
        block_on(log.reach(6));
        let report = end(&queue, &world);
        assert!(report.is_clean());
        assert_eq!(log.sorted(), [0, 1, 2, 10, 11, 12]);
    });
}

/// One worker, so that each push meets it on its way to sleep, and starts keep the order of the pushes of one thread.
#[test]
fn a_worker_does_not_sleep_through_a_push() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        let log = log_jobs(&queue);
        queue.start();
        for number in 0..4 {
            queue.try_push("job", &number).expect("there is room");
        }
        block_on(log.reach(4));
        end(&queue, &world);
        assert_eq!(log.all(), [0, 1, 2, 3]);
    });
}

/// What comes while the queue is paused is not forgotten when it is resumed.
#[test]
fn resuming_notices_what_came_meanwhile() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(2).build();
        let log = log_jobs(&queue);
        queue.start();
        let pauser = queue.clone();
        world.go(move || {
            pauser.pause("default").expect("it exists");
            pauser.resume("default").expect("it exists");
        });
        queue.try_push("job", &0).expect("there is room");
        queue.try_push_many(jobs([1, 2])).expect("there is room");
        block_on(log.reach(3));
        end(&queue, &world);
        assert_eq!(log.sorted(), [0, 1, 2]);
    });
}
