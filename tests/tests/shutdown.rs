//! How long a shutdown takes. Where time jumps to the next deadline, one that waits for nothing ends well all the same, an
//! hour late, and nothing else tells.
#![cfg(feature = "sim")]

use std::future::pending;
use std::time::Duration;

use queue_sim::{
    Chaos, Disk, Drain as _, Outcome, Queue, QueueConfig, ShutdownReport, Sim, Timer as _, World,
};

const HOUR: Duration = Duration::from_hours(1);

/// A queue whose jobs of the kind `done` are done at once, and those of the kind `hangs` never are.
fn queue(workers: usize) -> Queue {
    let queue = Queue::builder().workers(workers).queue("paused", QueueConfig::new()).build();
    queue.register("done", |_| async { Ok(()) });
    queue.register("hangs", |_| async { Ok(pending::<Outcome>().await) });
    queue.start();
    queue
}

/// The report of a shutdown, and how long it took.
async fn shut_down(sim: &World, queue: &Queue, timeout: Duration) -> (ShutdownReport, Duration) {
    let begun = sim.now();
    let report = queue.shutdown(timeout).await;
    (report, sim.now() - begun)
}

#[test]
fn what_runs_to_its_end_is_waited_for_no_longer() {
    Sim::new(1).run(|sim| async move {
        let queue = queue(2);
        for _ in 0..10 {
            queue.push("done", &()).await.unwrap();
        }
        let (report, took) = shut_down(&sim, &queue, HOUR).await;
        assert_eq!((report.finished, took), (10, Duration::ZERO));
    });
}

#[test]
fn a_paused_queue_is_not_waited_for() {
    Sim::new(1).run(|sim| async move {
        let queue = queue(2);
        queue.pause("paused").unwrap();
        queue.push("done", &()).queue("paused").await.unwrap();
        let (report, took) = shut_down(&sim, &queue, HOUR).await;
        assert_eq!((report.handed_back.len(), took), (1, Duration::ZERO));
    });
}

/// What cannot be recorded is not started.
#[test]
fn a_store_that_is_out_is_not_waited_for() {
    Sim::new(1).run(|sim| async move {
        let store = Disk::new().open().unwrap();
        let queue = Queue::builder().workers(1).store(store).build();
        queue.register("done", |_| async { Ok(()) });
        queue.start();
        queue.pause("default").unwrap();
        queue.push("done", &()).await.unwrap();
        sim.chaos(Chaos::none().disk_failures(1.0));
        queue.push("done", &()).await.unwrap_err();
        queue.resume("default").unwrap();
        sim.settle().await;
        let (report, took) = shut_down(&sim, &queue, HOUR).await;
        assert_eq!((report.kept, took), (1, Duration::ZERO));
    });
}

#[test]
fn what_hangs_is_waited_for_until_the_timeout_and_no_longer() {
    Sim::new(1).run(|sim| async move {
        let queue = queue(1);
        queue.push("hangs", &()).await.unwrap();
        sim.settle().await;
        queue.push("done", &()).await.unwrap();
        let (report, took) = shut_down(&sim, &queue, HOUR).await;
        assert_eq!((report.handed_back.len(), took), (2, HOUR));
    });
}

#[test]
fn a_handler_that_shuts_its_queue_down_is_not_waited_for() {
    for behind in 0..3 {
        Sim::new(1).run(|sim| async move {
            let queue = queue(1);
            let own = queue.clone();
            queue.register("shut_down", move |_| {
                let (queue, sim) = (own.clone(), sim.clone());
                async move {
                    let (report, took) = shut_down(&sim, &queue, HOUR).await;
                    assert_eq!((report.abandoned.len(), took), (1, Duration::ZERO));
                    assert_eq!(report.handed_back.len(), behind, "nobody is left to run them");
                    Ok(())
                }
            });
            queue.push("shut_down", &()).await.unwrap();
            for _ in 0..behind {
                queue.push("done", &()).await.unwrap();
            }
            let handle = queue.handle();
            drop(queue);
            handle.drain().await;
            assert_eq!(handle.dead_letter_count(), 0, "{:?}", handle.dead_letters());
        });
    }
}
