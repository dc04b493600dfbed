//! Pushes that wait for room.

use std::pin::Pin;
use std::task::{Context, Waker};

use shuttle::future::block_on;

use super::{World, check, end, jobs, log_jobs};
use crate::{JobId, PushError, Queue, QueueConfig};

type Pushing = Pin<Box<dyn Future<Output = Result<JobId, PushError>> + Send>>;

/// A queue for one waiting job, with `workers` that are not started yet.
fn small(world: &World, workers: usize) -> Queue<World> {
    Queue::builder_on(world.clone()).workers(workers).capacity(1).build()
}

/// A push that has joined the line.
fn in_line(queue: &Queue<World>, number: usize) -> Pushing {
    let handle = queue.handle();
    let mut push: Pushing = Box::pin(async move { handle.push("job", &number).await });
    assert!(push.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    push
}

/// Nobody waits for ever while there is room: whoever makes some lets the next one in.
#[test]
fn nobody_waits_while_there_is_room() {
    check(|| {
        let world = World::new();
        let queue = small(&world, 2);
        let log = log_jobs(&queue);
        queue.start();
        for pusher in [0, 10, 20] {
            let queue = queue.clone();
            world.go(move || {
                for number in 0..2 {
                    block_on(async { queue.push("job", &(pusher + number)).await }).expect("it is open");
                }
            });
        }
        block_on(log.reach(6));
        assert!(end(&queue, &world).is_clean());
        assert_eq!(log.sorted(), [0, 1, 10, 11, 20, 21]);
    });
}

/// As above, for batches that come in as far as there is room.
#[test]
fn batches_come_in_bit_by_bit() {
    check(|| {
        let world = World::new();
        let queue = small(&world, 1);
        let log = log_jobs(&queue);
        queue.start();
        for pusher in [0, 10] {
            let queue = queue.clone();
            world.go(move || {
                let pushed = block_on(queue.push_many(jobs(pusher..pusher + 3))).expect("it is open");
                assert!(pushed.is_sorted());
            });
        }
        block_on(log.reach(6));
        assert!(end(&queue, &world).is_clean());
        assert_eq!(log.sorted(), [0, 1, 2, 10, 11, 12]);
    });
}

/// Those in line are let in in turn, and before anyone who came later.
#[test]
fn nobody_overtakes() {
    check(|| {
        let world = World::new();
        let queue = small(&world, 1);
        let log = log_jobs(&queue);
        let first = queue.try_push("job", &0).expect("there is room");
        let line = [in_line(&queue, 1), in_line(&queue, 2)];
        queue.start();
        let ids = line.map(|push| shuttle::thread::spawn(move || block_on(push).expect("it is open")));
        let late = queue.try_push("job", &3);
        let [second, third] = ids.map(|push| push.join().expect("its thread passes"));
        assert!(first < second && second < third);
        let mut pushed = vec![0, 1, 2];
        match late {
            Ok(late) => {
                assert!(third < late, "{late:?} overtook {third:?}");
                pushed.push(3);
            }
            Err(error) => assert!(error.is_full()),
        }
        assert!(end(&queue, &world).is_clean());
        assert_eq!(log.all(), pushed);
    });
}

/// There is room for a small job while a large one waits for more: it has to wait behind it all the same.
#[test]
fn a_small_push_does_not_overtake_a_large_one() {
    check(|| {
        let world = World::new();
        let config = QueueConfig::new().workers(1).capacity_bytes(4);
        let queue = Queue::builder_on(world.clone()).defaults(config).build();
        let log = log_jobs(&queue);
        queue.try_push("job", &10).expect("there is room");
        let large = in_line(&queue, 1000);
        queue.start();
        let large = shuttle::thread::spawn(move || block_on(large).expect("it is open"));
        let small = queue.try_push("job", &1);
        let large = large.join().expect("its thread passes");
        assert!(small.is_err() || small.is_ok_and(|small| large < small));
        assert!(end(&queue, &world).is_clean());
        assert!(log.all().starts_with(&[10, 1000]));
    });
}

/// A push that is dropped in line, or with a grant in its hand, gives its place to the next.
#[test]
fn a_dropped_push_lets_the_next_one_in() {
    check(|| {
        let world = World::new();
        let queue = small(&world, 1);
        let log = log_jobs(&queue);
        queue.try_push("job", &0).expect("there is room");
        let [dropped, kept] = [in_line(&queue, 1), in_line(&queue, 2)];
        queue.start();
        world.go(move || drop(dropped));
        world.go(move || {
            block_on(kept).expect("it is open");
        });
        block_on(log.reach(2));
        assert!(end(&queue, &world).is_clean());
        assert_eq!(log.all(), [0, 2]);
    });
}
