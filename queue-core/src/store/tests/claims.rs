//! What workers and the engine ask of the store between a claim and its end.

use super::*;

#[test]
fn the_lanes_that_have_something_ready_are_told_a_bit_for_each() {
    let mut bench = Bench::new();
    assert_eq!(bench.store.ready_lanes(), 0);
    for (id, level) in [(1, 0), (2, 5), (3, 9), (4, 5)] {
        bench.store.push(job(id, level, 10), When::Now);
    }
    bench.store.push(job(5, 7, 10), When::Never);
    assert_eq!(bench.store.ready_lanes(), 1 << 0 | 1 << 5 | 1 << 9);
    assert_eq!(bench.claim(0).id, JobId::new(1));
    assert_eq!(bench.store.ready_lanes(), 1 << 5 | 1 << 9);
    assert_eq!(bench.drain(), [2, 4, 3]);
    assert_eq!(bench.store.ready_lanes(), 0);
}

#[test]
fn a_job_that_is_taken_over_is_its_new_workers_with_the_same_lease() {
    let mut bench = Bench::new();
    bench.push(When::Now);
    let lease = bench.claim(1);
    assert_eq!(bench.store.take_over(lease, 2), Some(lease));
    let mut taken = Claim::vacant();
    bench.store.hand_out(lease, &mut taken);
    assert_eq!((taken.lease, taken.payload.len()), (lease, 10));
    assert_eq!(bench.store.worker_of(lease.id), Some((2, lease)));
    bench.assert_counts(0, 0, 1);
    let _ = bench.settle(lease, retry(When::Now));
    assert_eq!(bench.store.take_over(lease, 3), None, "its attempt is over");
    bench.assert_counts(1, 0, 0);
}

#[test]
fn a_success_ends_an_attempt_once_and_leaves_what_a_settled_one_would() {
    let mut bench = Bench::new();
    bench.push(When::Now);
    let lease = bench.claim(0);
    bench.store.arm(lease, bench.epoch + MS);
    for wrong in [Lease { attempt: 1, ..lease }, Lease { id: JobId::new(99), ..lease }] {
        assert_eq!(bench.store.complete(wrong, &mut vec![]).unwrap_err(), Stale);
        bench.assert_counts(0, 0, 1);
    }
    let mut leftovers = Vec::new();
    bench.store.complete(lease, &mut leftovers).expect("the lease is current");
    assert!(leftovers.is_empty(), "ten bytes lie inside the record");
    assert_eq!(bench.store.complete(lease, &mut leftovers).unwrap_err(), Stale);
    bench.assert_counts(0, 0, 0);
    assert_eq!((bench.store.worker_of(lease.id), bench.store.next_due()), (None, None));
    assert_eq!(bench.advance(HOUR), [], "its time is not up any more");

    let mut large = job(7, 5, 60);
    large.extras = Some(Box::default());
    bench.store.push(large, When::Now);
    let lease = bench.claim(0);
    bench.store.complete(lease, &mut leftovers).expect("the lease is current");
    let (payload, extras) = leftovers.pop().expect("there is something to free");
    assert_eq!((payload.as_deref().map(<[u8]>::len), extras.is_some()), (Some(60), true));
}

#[test]
fn the_kind_of_an_attempt_is_known_while_it_runs() {
    let mut bench = Bench::new();
    bench.push(When::Now);
    let mut late = job(2, 5, 10);
    late.extras = Some(Box::new(Extras { name: Some("late".into()), ..Extras::default() }));
    bench.store.push(late, When::Now);
    let (known, late) = (bench.claim(0), bench.claim(1));
    assert_eq!(bench.store.kind_of(known), (Kind::from_index(3), None));
    assert_eq!(bench.store.kind_of(late), (Kind::from_index(3), Some(Name::from("late"))));
    let _ = bench.settle(known, Settle::HandBack);
    assert_eq!(bench.store.kind_of(known), (Kind::UNKNOWN, None));
}
