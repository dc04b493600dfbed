//! The last `Queue` is dropped: workers and timekeepers end, handlers are freed, pushes fail.

use std::sync::Arc;
use std::time::Duration;

use super::{Log, World, check, log_jobs};
use crate::Queue;

/// Against pushes through a handle, ready and delayed: nobody waits for ever, and what was captured is freed.
#[test]
fn everything_ends_with_the_last_queue() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(2).build();
        let log = log_jobs(&queue);
        let accepted = Log::default();
        queue.start();
        for pusher in [0, 10] {
            let (handle, accepted) = (queue.handle(), accepted.clone());
            world.go(move || {
                for number in [pusher, pusher + 1] {
                    let delay = Duration::from_millis(number as u64 % 2);
                    match handle.push("job", &number).delay(delay).try_push() {
                        Ok(_) => accepted.add(number),
                        Err(error) => assert!(error.is_shut_down()),
                    }
                }
            });
        }
        let handle = queue.handle();
        drop(queue);
        assert!(handle.try_push("job", &0).expect_err("nobody owns it").is_shut_down());
        world.join();
        assert_eq!(handle.pending_count() + handle.inflight_count(), 0);
        let accepted = accepted.all();
        assert!(log.all().iter().all(|ran| accepted.contains(ran)));
        assert_eq!(Arc::strong_count(&log.0), 1, "a handler outlives the queue");
    });
}
