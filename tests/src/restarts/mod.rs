//! The lives of jobs that outlive their process: a queue on a [`Disk`] is killed or shut down at any moment and started
//! again, while writes fail, stall, and succeed without saying so.
//!
//! Each process is a simulation of its own. What they share is the disk and the books: what pushers were promised and
//! handlers and subscribers have seen.

mod books;
mod process;

use std::sync::Arc;

use fastrand::Rng;
use queue_sim::{Disk, Failure, Sim, Trace};

use books::Books;
use process::Process;

/// Runs the life of one seed: a few processes on one disk.
///
/// # Errors
///
/// [`Failure`] of the process in which something does not hold.
pub fn simulate(seed: u64) -> Result<Trace, Failure> {
    let mut random = Rng::with_seed(seed);
    let plan = Plan::new(&mut random);
    let disk = Disk::new().payload_memory(plan.payload_memory);
    let books = Arc::new(Books::default());
    for number in 0..plan.processes {
        let process = Process { plan: plan.clone(), disk: disk.clone(), books: books.clone(), number };
        Sim::new(seed.wrapping_mul(16).wrapping_add(number)).traced(|sim| process.run(sim))?;
    }
    let last = Process { plan: plan.clone(), disk, books, number: plan.processes };
    let seed = seed.wrapping_mul(16).wrapping_add(plan.processes);
    Sim::new(seed).traced(|sim| last.end(sim)).map(|((), trace)| trace)
}

/// What kind of life it is.
#[derive(Clone, Debug)]
struct Plan {
    processes: u64,
    workers: usize,
    capacity: usize,
    retries: u32,
    dead_letters: usize,
    payload_memory: usize,
    /// Of a hundred jobs, how many have a payload that is too large for a job's record.
    large: u8,
    disk_failures: f64,
    disk_lies: f64,
    disk_stalls: f64,
    /// Tasks of the queue that die alone.
    crashes: f64,
    /// Of a hundred processes, how many are killed; the others shut down.
    kills: u8,
}

impl Plan {
    fn new(random: &mut Rng) -> Self {
        let sometimes = |random: &mut Rng, most: f64| if random.bool() { 0.0 } else { random.f64() * most };
        Self {
            processes: random.u64(1..=5),
            workers: random.usize(1..=4),
            capacity: if random.bool() { 100_000 } else { random.usize(1..20) },
            retries: random.u32(0..4),
            dead_letters: if random.u8(0..4) == 0 { 3 } else { 10_000 },
            payload_memory: if random.bool() { 1 << 20 } else { random.usize(0..2_000) },
            large: if random.bool() { 0 } else { random.u8(0..=100) },
            disk_failures: sometimes(random, 0.3),
            disk_lies: sometimes(random, 0.1),
            disk_stalls: sometimes(random, 0.1),
            crashes: sometimes(random, 0.02),
            kills: random.u8(0..=100),
        }
    }
}
