//! A burst of ours alone in a process, to compare with the same in another build.

fn main() {
    queue_compare::burst_alone();
}
