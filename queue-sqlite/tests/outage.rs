//! A store that cannot be written to while a queue runs on it.

mod common;

use std::time::Duration;

use common::Folder;
use queue_core::{Event, Health, NewJob, PushError, StoreError, StoreFault, Subscription};
use queue_sqlite::{Options, Store};
use queue_tokio::Queue;
use tokio::sync::Semaphore;

const LONG: Duration = Duration::from_mins(1);

/// A queue on a new store, not started yet, whose jobs wait for the gate.
fn queue(folder: &Folder, options: Options, gate: &'static Semaphore) -> Queue {
    let store = options.open(folder.path()).expect("it opens");
    let queue = Queue::builder().workers(4).store(store).build();
    queue.register("work", move |_| async move {
        gate.acquire().await.expect("it is never closed").forget();
        Ok(())
    });
    queue
}

fn job(bytes: usize) -> NewJob {
    NewJob::raw("work", vec![b'x'; bytes])
}

/// The error of a push that the store refused, with the job that came back.
fn refusal(error: PushError) -> (NewJob, StoreError) {
    match error {
        PushError::Store { job, error } => (*job, error),
        error => panic!("{error}"),
    }
}

/// Waits for an event like this one.
async fn wait_for(events: &mut Subscription, is_it: impl Fn(&Event) -> bool) {
    let event = async { while !is_it(&events.recv().await.expect("the queue lives")) {} };
    tokio::time::timeout(LONG, event).await.expect("it comes sooner or later");
}

async fn wait_for_done(events: &mut Subscription, jobs: usize) {
    for _ in 0..jobs {
        wait_for(events, |event| matches!(event, Event::Succeeded(_))).await;
    }
}

#[tokio::test]
async fn a_full_store_gives_pushes_back_and_drains() {
    static GATE: Semaphore = Semaphore::const_new(1000);
    let folder = Folder::new();
    let queue = queue(&folder, Store::options().max_size(500_000), &GATE);
    let mut events = queue.subscribe(1000);
    let mut accepted = 0;
    let (job, error) = loop {
        match queue.push_job(job(20_000)).await {
            Ok(_) if accepted == 100 => panic!("it never fills"),
            Ok(_) => accepted += 1,
            Err(error) => break refusal(error),
        }
    };
    assert!((10..25).contains(&accepted), "{accepted} of 20 kB are in 500 kB");
    assert_eq!(error.fault(), StoreFault::Full);
    assert_eq!(job.payload().len(), 20_000);
    wait_for(&mut events, |event| matches!(event, Event::StoreFailed { .. })).await;

    queue.start();
    wait_for(&mut events, |event| matches!(event, Event::StoreRecovered)).await;
    wait_for_done(&mut events, accepted).await;
    assert!(queue.health().is_well());
    queue.push_job(job).await.expect("there is room again");
    wait_for_done(&mut events, 1).await;
    assert!(queue.shutdown(LONG).await.is_clean());
    assert_eq!(folder.count("jobs"), 0);
}

#[tokio::test]
async fn what_is_settled_in_an_outage_is_written_after_it() {
    static GATE: Semaphore = Semaphore::const_new(0);
    let folder = Folder::new();
    let queue = queue(&folder, Store::options(), &GATE);
    let mut events = queue.subscribe(1000);
    queue.start();
    for _ in 0..2 {
        queue.push_job(job(1)).await.expect("it is well");
        wait_for(&mut events, |event| matches!(event, Event::Started(_))).await;
    }
    let shell = folder.shell();
    shell.execute_batch("BEGIN IMMEDIATE").expect("a shell may write");
    let (_, error) = refusal(queue.push_job(job(1)).await.expect_err("somebody else writes"));
    assert_eq!(error.fault(), StoreFault::Locked);
    assert!(matches!(queue.health(), Health::Outage { .. }));
    GATE.add_permits(2);
    while queue.inflight_count() > 0 {
        tokio::task::yield_now().await;
    }
    let (_, error) = refusal(queue.push_job(job(1)).await.expect_err("it is refused at once"));
    assert_eq!(error.fault(), StoreFault::Locked);
    assert_eq!(folder.count("jobs"), 2, "their end could not be written");
    assert!(std::iter::from_fn(|| events.try_recv()).all(|event| !matches!(event, Event::Succeeded(_))));

    shell.execute_batch("ROLLBACK").expect("it ends");
    wait_for_done(&mut events, 2).await;
    assert_eq!(folder.count("jobs"), 0);
    assert!(queue.health().is_well());
    assert!(queue.shutdown(LONG).await.is_clean());
}

#[tokio::test]
async fn payloads_that_are_not_in_memory_are_read_when_their_turn_comes() {
    let folder = Folder::new();
    let sizes = [10, 54, 55, 256, 257, 5000, 100_000];
    for _ in 0..2 {
        let store = Store::options().payload_memory(0).open(folder.path()).expect("it opens");
        let queue = Queue::builder().store(store).build();
        for bytes in sizes {
            queue.push_job(job(bytes)).await.expect("it is well");
        }
        assert!(queue.shutdown(LONG).await.kept > 0);
    }
    let store = Store::options().payload_memory(0).open(folder.path()).expect("it opens");
    let queue = Queue::builder().store(store).build();
    let (sender, mut read) = tokio::sync::mpsc::unbounded_channel();
    queue.register("work", move |job| {
        let sender = sender.clone();
        async move {
            assert!(job.raw_payload().iter().all(|byte| *byte == b'x'));
            Ok(sender.send(job.raw_payload().len())?)
        }
    });
    queue.start();
    assert!(queue.shutdown(LONG).await.is_clean());
    let mut seen = Vec::new();
    while let Ok(bytes) = read.try_recv() {
        seen.push(bytes);
    }
    seen.sort_unstable();
    assert_eq!(seen, sizes.map(|bytes| [bytes; 2]).concat());
}
