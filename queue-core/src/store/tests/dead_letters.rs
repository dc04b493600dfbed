//! How much dead letters weigh.

use super::*;

#[test]
fn a_requeued_dead_letter_weighs_nothing_and_the_others_what_they_did() {
    let mut bench = Bench::bounded(DeadLimits { jobs: 100, bytes: 28 });
    for _ in 0..2 {
        assert_eq!(bury_one(&mut bench, 10), NONE_EVICTED);
    }
    assert!(bench.store.requeue(JobId::new(1)));
    assert_eq!(bench.drain(), [1]);
    // Ten bytes and an error of four are left, and there is room for as much, and no more.
    assert_eq!(bury_one(&mut bench, 11), [2]);
    assert_eq!(bury_one(&mut bench, 9), NONE_EVICTED);
    assert_eq!(dead_ids(&bench), [3, 4]);
}
