//! The same as `queue-compare-alone`, with the queue's `tracing` feature compiled in and no subscriber.

fn main() {
    queue_compare::burst_alone();
}
