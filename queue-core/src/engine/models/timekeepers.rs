//! Timekeepers: a deadline that moves while its keeper goes to sleep, a leader that ends, a leader that is blocked.

use std::time::Duration;

use shuttle::future::block_on;

use super::{Log, World, check, end, log_jobs, on_two_threads};
use crate::sync::thread::yield_now;
use crate::{Outcome, Queue, SendFuture};

const MS: Duration = Duration::from_millis(1);

/// Delays that get shorter, pushed by two threads while the timekeeper goes to sleep for the longer ones.
#[test]
fn an_earlier_deadline_wakes_the_timekeeper() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        let log = log_jobs(&queue);
        queue.start();
        for pusher in [0, 10] {
            let queue = queue.clone();
            world.go(move || {
                for (number, delay) in [(0, MS * 1000), (1, MS * 10)] {
                    queue.push_delayed("job", &(pusher + number), delay).try_push().expect("it is open");
                }
            });
        }
        // However the pushes and this meet, the short delays are over after it, or after the next.
        world.advance(20);
        while log.all().len() < 2 {
            world.advance(20);
            yield_now();
        }
        assert_eq!(log.sorted(), [1, 11]);
        assert_eq!(end(&queue, &world).handed_back.len(), 2);
    });
}

/// The leader's thread ends at any moment: another timekeeper sees to what it would have seen to, with no time passing.
#[test]
fn the_lead_passes_on() {
    check(|| {
        let world = World::of_mode();
        let (queue, leave) = on_two_threads(&world);
        let log = log_jobs(&queue);
        queue.push_delayed("job", &0, MS * 10).try_push().expect("there is room");
        leave.add(0);
        world.advance(11);
        block_on(log.reach(1));
        end(&queue, &world);
        assert_eq!(log.all(), [0]);
    });
}

/// The leader's thread is blocked by a handler, which waits for a delayed job: another one takes the lead, in time.
#[test]
fn a_blocked_leader_is_replaced() {
    check(|| {
        let world = World::of_mode();
        let (queue, _leave) = on_two_threads(&world);
        let log = log_jobs(&queue);
        let (begun, others) = (Log::default(), log.clone());
        let own = begun.clone();
        queue.register("block", move |_| -> SendFuture {
            own.add(0);
            block_on(others.reach(1));
            Box::pin(async { Ok(Outcome::Done) })
        });
        queue.try_push("block", &()).expect("there is room");
        block_on(begun.reach(1));
        queue.push_delayed("job", &0, MS * 10).try_push().expect("there is room");
        world.advance(100);
        block_on(log.reach(1));
        end(&queue, &world);
    });
}
