//! A whole life of a queue that follows from a seed: any configuration, anything pushed in any way, handlers that do
//! anything, faults; then the faults stop, and everything must come to an end.

mod handlers;
mod plan;
mod pusher;

use std::time::Duration;

use queue_sim::{Chaos, Failure, Queue, ShutdownReport, Sim, Trace, World};

use crate::invariants::{End, Monitor, What};
use handlers::register;
use plan::Plan;
use pusher::Pusher;

/// Runs the workload of one seed under all invariants.
///
/// # Errors
///
/// [`Failure`], if one of them does not hold or the simulation hangs.
pub fn simulate(seed: u64) -> Result<Trace, Failure> {
    Sim::new(seed).traced(live).map(|((), trace)| trace)
}

/// Longer than any delay, retry or timeout of a workload.
const LONG: Duration = Duration::from_hours(1);

async fn live(sim: World) {
    sim.limit_steps(500_000);
    let plan = Plan::new(sim.random());
    sim.note(format_args!("{plan:?}"));
    let queue = plan.queue(&sim);
    let monitor = Monitor::new(&sim, queue.handle(), plan.bounds.clone(), plan.tolerance);
    register(&sim, &queue, &monitor);
    sim.chaos(plan.chaos.clone());
    sim.supervise(&queue);

    let pushers: Vec<_> = (0..plan.pushers)
        .map(|_| {
            let pusher = Pusher::new(&sim, queue.handle(), &monitor, plan.bounds.len());
            sim.spawn("pusher", pusher.run(plan.operations))
        })
        .collect();

    if let Some((after, timeout)) = plan.early_shutdown {
        // The pushers are still at it.
        sim.sleep(after).await;
        let report = shut_down(&sim, &queue, &monitor, timeout).await;
        for pusher in pushers {
            pusher.await;
        }
        end(&queue, &monitor, report, plan.clock_jumps);
        return;
    }
    // One may wait for a queue that another has paused.
    let resume_all = || {
        for bounds in &plan.bounds {
            queue.resume(&bounds.name).expect("it exists");
        }
    };
    sim.sleep(plan.faults_for).await;
    sim.calm();
    for pusher in pushers {
        while !pusher.is_over() {
            resume_all();
            sim.sleep(Duration::from_millis(10)).await;
        }
    }
    resume_all();
    sim.drain(&queue).await;
    // What was cancelled may still be noticed when it would have been due.
    sim.sleep(LONG).await;
    Pusher::new(&sim, queue.handle(), &monitor, 1).push_for_later(2 * LONG);
    sim.settle().await;
    let before = sim.steps();
    sim.sleep(LONG).await;
    monitor.note(&What::Idle(sim.steps() - before));
    let report = shut_down(&sim, &queue, &monitor, LONG).await;
    end(&queue, &monitor, report, false);
}

fn end(queue: &Queue, monitor: &Monitor, report: ShutdownReport, clock_jumped: bool) {
    monitor.end(&End { report, dead_letters: queue.dead_letters(), missed: monitor.missed(), clock_jumped });
}

async fn shut_down(sim: &World, queue: &Queue, monitor: &Monitor, timeout: Duration) -> ShutdownReport {
    let ends = (0..2).map(|_| {
        let (queue, monitor) = (queue.clone(), monitor.clone());
        async move {
            monitor.note(&What::ShutdownBegins(timeout));
            queue.shutdown(timeout).await
        }
    });
    let mut reports = Vec::new();
    for end in ends.map(|end| sim.spawn("shutdown", end)).collect::<Vec<_>>() {
        reports.push(end.await);
    }
    assert_eq!(reports[0].finished, reports[1].finished, "all callers get the same report");
    reports.swap_remove(0)
}

/// Kept apart, so that one can see at a glance what a life can suffer.
fn some_chaos(random: &mut fastrand::Rng) -> Chaos {
    let mut some = |most: f64| if random.bool() { random.f64() * most } else { 0.0 };
    let chaos = Chaos::none()
        .handler_panics(some(0.1))
        .handler_drops(some(0.1))
        .spurious_wakes(some(0.2))
        .late_wakes(some(0.2));
    if random.bool() { chaos.slow_code(Duration::from_micros(random.u64(1..30))) } else { chaos }
}
