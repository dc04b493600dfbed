//! Every transition of a job, written by one process and read by the next.

mod common;

use common::*;
use queue_core::{DeadReason, Due, JobRecord, Priority, Record, StoredOptions};
use queue_sqlite::Store;

#[test]
fn a_new_store_is_empty() {
    let found = Folder::new().look();
    assert_eq!((waiting_ids(&found), dead_ids(&found)), (vec![], vec![]));
    assert_eq!((found.next_id, found.time), (1, None));
}

#[test]
fn a_job_comes_back_as_it_was_pushed() {
    let folder = Folder::new();
    let text = r#"{"timeout":{"secs":5,"nanos":0}}"#;
    folder.write([Record::Pushed(Box::new(JobRecord {
        queue: "email".into(),
        kind: "grüße".into(),
        priority: Priority::HIGH,
        due: Some(Due::At(at(5))),
        options: Some(StoredOptions::decode(text).expect("options")),
        ..job(7)
    }))]);
    let found = folder.look();
    let job = only(&found);
    assert_eq!(
        (job.id, job.priority, job.attempt, job.due),
        (id(7), Priority::HIGH, 0, Some(Due::At(at(5))))
    );
    assert_eq!((job.queue.as_str(), job.kind.as_str()), ("email", "grüße"));
    assert_eq!(job.payload.as_deref(), Ok(&b"\"7\""[..]));
    let more = job.more.as_ref().expect("it has options");
    assert_eq!(more.options.as_ref().map(StoredOptions::encode).as_deref(), Some(text));
    assert_eq!(more.history, []);
}

#[test]
fn due_times_survive() {
    let folder = Folder::new();
    let due =
        [None, Some(Due::At(at(0))), Some(Due::Never), Some(Due::At(std::time::SystemTime::UNIX_EPOCH))];
    folder.write(
        (1..).zip(due).map(|(number, due)| Record::Pushed(Box::new(JobRecord { due, ..job(number) }))),
    );
    let found = folder.look();
    assert_eq!(waiting(&found).iter().map(|job| job.due).collect::<Vec<_>>(), due);
}

#[test]
fn nothing_is_due_early() {
    let folder = Folder::new();
    let exact = at(5) + std::time::Duration::from_nanos(1);
    folder.write([push(1), start(1), Record::Snoozed { id: id(1), due: Some(Due::At(exact)) }]);
    assert_eq!(only(&folder.look()).due, Some(Due::At(at(6))));
}

#[test]
fn jobs_come_back_in_order() {
    let folder = Folder::new();
    let numbers: Vec<u64> = (1..=10_000).collect();
    folder.write(numbers.iter().rev().map(|number| push(*number)));
    let found = folder.look();
    assert_eq!(waiting_ids(&found), numbers);
    assert!(found.jobs.iter().all(|piece| piece.len() <= 4096));
}

#[test]
fn what_waits_again_is_as_the_attempt_left_it() {
    let folder = Folder::new();
    folder.write([push(1), start(1), retry(1, 1)]);
    folder.write([push(2), start(2), Record::Snoozed { id: id(2), due: Some(Due::Never) }]);
    folder.write([push(3), start(3), Record::Snoozed { id: id(3), due: None }]);
    folder.write([push(4), start(4), Record::Interrupted { id: id(4) }]);
    let found = folder.look();
    let found: Vec<_> = waiting(&found).iter().map(|job| (job.id.as_u64(), job.attempt, job.due)).collect();
    assert_eq!(
        found,
        [(1, 1, Some(Due::At(at(60_000)))), (2, 0, Some(Due::Never)), (3, 0, None), (4, 0, None)]
    );
}

#[test]
fn what_is_over_is_gone() {
    let folder = Folder::new();
    folder.write((1..=5).map(push));
    folder.write([start(1), done(1), Record::Cancelled { id: id(2) }, start(3), die(3, 1)]);
    folder.write([Record::Dropped { id: id(3) }, start(4), Record::Cancelled { id: id(4) }]);
    let found = folder.look();
    assert_eq!((waiting_ids(&found), dead_ids(&found)), (vec![5], vec![]));
    assert_eq!((folder.count("failures"), folder.count("settled")), (0, 0));
}

#[test]
fn a_history_survives_retries_death_and_another_life() {
    let folder = Folder::new();
    folder.write([push(1), start(1), retry(1, 1), start(1), retry(1, 2)]);
    let found = folder.look();
    let more = only(&found).more.as_ref().expect("it has a history");
    assert_eq!(more.history, [failure(0), failure(1)]);

    folder.write([start(1), die(1, 3)]);
    let found = folder.look();
    let dead = only_dead(&found);
    assert_eq!((dead.attempts, dead.reason), (3, DeadReason::RetriesExhausted));
    assert_eq!(
        (dead.queue.as_str(), dead.kind.as_str(), dead.priority),
        ("default", "send_email", Priority::NORMAL)
    );
    assert_eq!(&dead.payload[..], b"\"1\"");
    assert_eq!(dead.more.history, [failure(0), failure(1), failure(2)]);

    folder.write([Record::Requeued { id: id(1) }, start(1), retry(1, 1)]);
    let found = folder.look();
    let job = only(&found);
    assert_eq!((job.attempt, found.dead.len()), (1, 0));
    assert_eq!(job.more.as_ref().map(|more| more.history.len()), Some(4));
}

#[test]
fn every_reason_survives() {
    let folder = Folder::new();
    let reasons = [
        DeadReason::RetriesExhausted,
        DeadReason::Discarded,
        DeadReason::NoHandler,
        DeadReason::ShutDown,
        DeadReason::Crashed,
    ];
    for (number, reason) in (1..).zip(reasons) {
        folder
            .write([push(number), Record::Died { id: id(number), reason, attempts: 1, failure: failure(0) }]);
    }
    assert_eq!(folder.look().dead.iter().map(|dead| dead.reason).collect::<Vec<_>>(), reasons);
}

#[test]
fn dead_letters_come_back_oldest_first() {
    let folder = Folder::new();
    folder.write((1..=4).map(push));
    folder.write([die(3, 1), die(1, 1)]);
    folder.write([die(4, 1)]);
    folder.write([Record::Requeued { id: id(3) }, die(3, 1), die(2, 1)]);
    assert_eq!(dead_ids(&folder.look()), [1, 4, 3, 2]);
}

#[test]
fn of_a_long_history_the_latest_hundred_are_kept() {
    let folder = Folder::new();
    folder.write([push(1)]);
    folder.write((1..=150).flat_map(|attempt| [start(1), retry(1, attempt)]));
    let found = folder.look();
    let history = &only(&found).more.as_ref().expect("it has a history").history;
    assert_eq!(
        history.iter().map(|failure| failure.attempt).collect::<Vec<_>>(),
        (50..150).collect::<Vec<_>>()
    );
    assert_eq!(folder.count("failures"), 100);
}

#[test]
fn no_number_is_given_twice() {
    let folder = Folder::new();
    assert_eq!(folder.write([push(1), push(9), done(9)]).next_id, 1);
    assert_eq!(folder.write([done(1)]).next_id, 10);
    assert_eq!(folder.write([push(10)]).next_id, 10);
    folder.shell().execute("UPDATE jobs SET id = 40", []).expect("a person may");
    assert_eq!(folder.look().next_id, 41);
}

#[test]
fn small_payloads_are_read_and_large_ones_are_told_by_length() {
    let folder = Folder::new();
    let sizes = [0, 1, 54, 55, 256, 257, 1 << 20];
    folder.write((1..).zip(sizes).map(|(number, bytes)| push_bytes(number, bytes)));
    let found = folder.look();
    for (job, bytes) in waiting(&found).iter().zip(sizes) {
        let expected = if bytes <= 256 { Ok(payload(bytes)) } else { Err(bytes) };
        assert_eq!(job.payload, expected, "{bytes} bytes");
    }
    folder.write((1..=7).map(|number| die(number, 1)));
    let found = folder.look();
    for (dead, bytes) in found.dead.iter().zip(sizes) {
        assert_eq!(dead.payload, payload(bytes), "{bytes} bytes");
    }
    folder.write((1..=7).map(|number| Record::Dropped { id: id(number) }));
    assert_eq!((folder.count("jobs"), folder.count("payloads"), folder.count("failures")), (0, 0, 0));
}

#[test]
fn no_more_is_read_than_may_be_in_memory() {
    let folder = Folder::new();
    let elsewhere =
        Record::Pushed(Box::new(JobRecord { queue: "email".into(), payload: payload(200), ..job(9) }));
    folder.write([push_bytes(1, 200), push_bytes(2, 200), push_bytes(3, 54), push_bytes(4, 90), elsewhere]);
    let found = folder.write_with(Store::options().payload_memory(300), []);
    let read: Vec<_> =
        waiting(&found).iter().map(|job| job.payload.as_ref().map(|bytes| bytes.len()).ok()).collect();
    assert_eq!(read, [Some(200), None, Some(54), Some(90), Some(200)]);
}
