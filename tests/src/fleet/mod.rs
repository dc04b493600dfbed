//! The lives of machines that share a store: each has a queue on it, over a network that loses messages and is cut, and dies
//! or is shut down at any moment, while others go on.

mod books;
mod machine;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use queue_sim::remote::{Control, RemoteStore};
use queue_sim::{Chaos, Failure, JobId, Server, Sim, Trace, World};

use books::Books;
use machine::Machine;

/// Runs the life of one seed.
///
/// # Errors
///
/// [`Failure`], if something does not hold.
pub fn simulate(seed: u64) -> Result<Trace, Failure> {
    Sim::new(seed).traced(live).map(|((), trace)| trace)
}

/// What kind of life it is.
#[derive(Clone, Debug)]
struct Plan {
    /// Messages get lost now and then, and nothing worse happens: then no lease expires.
    is_mild: bool,
    machines: usize,
    workers: usize,
    retries: u32,
    lease: Duration,
    losses: f64,
    stalls: f64,
    /// Tasks of a queue that die alone.
    crashes: f64,
    /// Wake-ups come late: then an attempt may overlap with one whose lease was lost.
    late_wakes: f64,
    /// What happens beside the pushes, and how often it does.
    events: usize,
}

/// Which is more than enough for every lease to expire and every retry to be made.
const LONG: Duration = Duration::from_mins(30);

impl Plan {
    fn new(random: &mut Rng) -> Self {
        let sometimes = |random: &mut Rng, most: f64| if random.bool() { 0.0 } else { random.f64() * most };
        if random.u8(0..3) == 0 {
            return Self {
                is_mild: true,
                machines: random.usize(1..=4),
                workers: random.usize(1..=4),
                retries: random.u32(0..4),
                lease: Duration::from_secs(30),
                losses: 0.02,
                stalls: 0.0,
                crashes: 0.0,
                late_wakes: 0.0,
                events: random.usize(0..12),
            };
        }
        Self {
            is_mild: false,
            machines: random.usize(1..=4),
            workers: random.usize(1..=4),
            retries: random.u32(0..4),
            lease: Duration::from_secs(random.u64(3..30)),
            losses: sometimes(random, 0.2),
            stalls: sometimes(random, 0.2),
            crashes: sometimes(random, 0.01),
            late_wakes: sometimes(random, 0.05),
            events: random.usize(0..12),
        }
    }
}

async fn live(sim: World) {
    sim.limit_steps(3_000_000);
    sim.allow_leftovers();
    let mut random = sim.random();
    let plan = Plan::new(&mut random);
    sim.note(format!("{plan:?}"));
    let server = Server::new(&sim).crashes_before_quarantine(random.u32(1..5));
    let books = Arc::new(Books::new(server.clone()));
    let mut machines: Vec<_> =
        (0..plan.machines).map(|_| Machine::new(&sim, &server, &books, &plan)).collect();
    sim.chaos(
        Chaos::none()
            .message_losses(plan.losses)
            .message_stalls(plan.stalls)
            .crashes(plan.crashes)
            .late_wakes(plan.late_wakes),
    );
    for _ in 0..plan.events {
        sim.sleep(Duration::from_millis(random.u64(0..5_000))).await;
        let chosen = random.usize(0..machines.len());
        match random.u8(if plan.is_mild { 3 } else { 0 }..7) {
            0 => machines[chosen].link.cut(),
            1 => machines[chosen].link.mend(),
            2 => {
                drop(sim.spawn("death", machines.swap_remove(chosen).die()));
            }
            3 => {
                let machine = machines.swap_remove(chosen);
                let timeout = Duration::from_millis(random.u64(0..3_000));
                drop(sim.spawn("shutdown", machine.shut_down(timeout)));
            }
            4 => cancel(&server, &books, &mut random).await,
            5 => {
                let control = if random.bool() { Control::Pause } else { Control::Resume };
                server.control("default".into(), control).await.expect("it is there");
            }
            _ => machines[chosen].pause(random.bool()),
        }
        books.look();
        if machines.is_empty() || random.u8(0..3) == 0 {
            machines.push(Machine::new(&sim, &server, &books, &plan));
        }
    }
    end(&sim, &server, &books, machines, &plan).await;
}

/// Somebody cancels a job, whatever it does.
async fn cancel(server: &Server, books: &Books, random: &mut Rng) {
    let accepted = books.accepted();
    if let Some(id) = accepted.get(random.usize(0..accepted.len().max(1))) {
        server.cancel(vec![*id]).await.expect("it is there");
    }
}

/// The faults stop, and everything that was accepted comes to its end.
async fn end(sim: &World, server: &Server, books: &Arc<Books>, machines: Vec<Machine>, plan: &Plan) {
    sim.calm();
    server.control("default".into(), Control::Resume).await.expect("it is there");
    for machine in &machines {
        machine.link.mend();
        machine.pause(false);
        machine.restart();
    }
    let last = Machine::new(sim, server, books, plan);
    books.no_more_pushes();
    let deadline = sim.elapsed() + LONG;
    while !(server.is_empty() && books.pushers() == 0) {
        books.look();
        if sim.elapsed() >= deadline {
            let counts = server.counts("default".into()).await.expect("it is there");
            panic!("it does not come to an end: {counts:?}, {}", books.left());
        }
        sim.sleep(Duration::from_millis(100)).await;
    }
    let dead = server.dead_letters("default".into(), None, usize::MAX).await.expect("it is there");
    let dead: Vec<JobId> = dead.into_iter().map(|dead| dead.id).collect();
    for machine in machines.into_iter().chain([last]) {
        machine.shut_down(LONG).await;
    }
    books.close(&dead);
    assert!(!plan.is_mild || server.expiries() == 0, "a lease expired");
}
