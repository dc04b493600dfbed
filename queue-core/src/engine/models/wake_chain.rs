//! One wake-up that has to start many, and one in the hand of a worker that leaves.

use shuttle::future::block_on;

use super::{Log, World, check, end, jobs, log_jobs, on_two_threads};
use crate::{NewJob, Queue};

/// Jobs that wait for each other, pushed at once behind short ones: every idle worker has to be started for them, by
/// those before it.
#[test]
fn many_jobs_start_many_workers() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(3).build();
        let log = log_jobs(&queue);
        let met = Log::default();
        let own = met.clone();
        queue.register("meet", move |_| {
            let own = own.clone();
            async move {
                own.add(0);
                own.reach(3).await;
                Ok(())
            }
        });
        queue.start();
        let meetings = (0..3).map(|number| NewJob::json("meet", &number).expect("a number is JSON"));
        queue.try_push_many(jobs(0..2).into_iter().chain(meetings)).expect("there is room");
        block_on(async {
            log.reach(2).await;
            met.reach(3).await;
        });
        assert_eq!(end(&queue, &world).handed_back.len(), 0);
    });
}

/// A worker that was woken and then dropped passes its wake-up on, and gives back what it held.
#[test]
fn a_worker_that_leaves_passes_its_wake_up_on() {
    check(|| {
        let world = World::of_mode();
        let (queue, leave) = on_two_threads(&world);
        let log = log_jobs(&queue);
        queue.try_push("job", &0).expect("there is room");
        leave.add(0);
        queue.try_push("job", &1).expect("there is room");
        block_on(log.reach(2));
        end(&queue, &world);
        assert_eq!(log.sorted(), [0, 1]);
    });
}
