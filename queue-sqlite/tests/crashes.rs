//! Jobs that ran when the process ended.

mod common;

use std::num::NonZeroU32;

use common::*;
use queue_core::{DeadReason, Record};
use queue_sqlite::Store;

#[test]
fn a_job_that_ran_is_ready_again_with_its_attempt() {
    let folder = Folder::new();
    folder.write([push(1), push(2), start(1), retry(1, 1), start(1)]);
    let found = folder.look();
    let jobs = waiting(&found);
    assert_eq!((jobs[0].id, jobs[0].attempt, jobs[0].due), (id(1), 1, None));
    assert_eq!((jobs[1].id, jobs[1].attempt, jobs[1].due), (id(2), 0, None));
}

#[test]
fn the_third_crash_in_a_row_makes_a_dead_letter() {
    let folder = Folder::new();
    folder.write([push(1), push_bytes(2, 1000), start(1), retry(1, 1)]);
    for _ in 0..2 {
        let found = folder.write([start(1), start(2)]);
        assert_eq!(waiting_ids(&found), [1, 2]);
    }
    let found = folder.write([start(1), start(2)]);
    assert_eq!((waiting_ids(&found), dead_ids(&found)), (vec![1, 2], vec![]));
    for found in [folder.look(), folder.look()] {
        assert_eq!((waiting_ids(&found), dead_ids(&found)), (vec![], vec![1, 2]));
        let [retried, large] = &found.dead[..] else { panic!("there are two") };
        assert_eq!((retried.reason, retried.attempts), (DeadReason::Crashed, 2));
        assert_eq!(retried.more.history[0], failure(0));
        assert_eq!(retried.more.history[1].error, "the process ended 3 times in a row while this job ran");
        assert_eq!(retried.more.history[1].attempt, 1);
        assert_eq!((large.attempts, &large.payload), (1, &payload(1000)));
    }
    let found = folder.write([Record::Requeued { id: id(1) }, start(1)]);
    assert_eq!(dead_ids(&found), [1, 2]);
    assert_eq!(waiting_ids(&folder.look()), [1], "another life starts counting at none");
}

#[test]
fn how_many_crashes_is_for_the_application_to_say() {
    let folder = Folder::new();
    folder.write([push(1), start(1)]);
    let once = Store::options().crashes_before_quarantine(NonZeroU32::MIN);
    assert_eq!(dead_ids(&folder.write_with(once, [])), [1]);
}

#[test]
fn an_attempt_that_ends_clears_the_count() {
    let endings = [retry(1, 1), Record::Snoozed { id: id(1), due: None }, Record::Interrupted { id: id(1) }];
    for ending in endings {
        let folder = Folder::new();
        folder.write([push(1)]);
        for _ in 0..5 {
            for records in [vec![start(1)], vec![start(1)], vec![start(1), ending.clone()]] {
                assert_eq!(waiting_ids(&folder.write(records)), [1], "after {ending:?}");
            }
        }
    }
}

#[test]
fn a_job_that_did_not_run_has_no_part_in_a_crash() {
    let folder = Folder::new();
    folder.write([push(1), push(2)]);
    for _ in 0..5 {
        folder.write([start(1)]);
    }
    let found = folder.look();
    assert_eq!((waiting_ids(&found), dead_ids(&found)), (vec![2], vec![1]));
}

#[test]
fn a_full_history_has_room_for_the_crash() {
    let folder = Folder::new();
    folder.write([push(1)]);
    folder.write((1..=100).flat_map(|attempt| [start(1), retry(1, attempt)]));
    for _ in 0..3 {
        folder.write([start(1)]);
    }
    for found in [folder.look(), folder.look()] {
        let history = &only_dead(&found).more.history;
        assert_eq!((history.len(), history[0].attempt, history[99].attempt), (100, 1, 100));
    }
}
