//! The memory scenario of `queue-compare`, in a build of its own: an allocator that counts would slow down whoever
//! allocates.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() {
    queue_compare::memory_alone(ALLOCATOR);
}
