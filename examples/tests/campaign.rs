//! The whole delivery on every runtime, in a hurry; and what happens when somebody cheats.

use std::time::Duration;

use queue_core::{BoxError, Event, Job};
use queue_examples::webhooks::campaign::Ending;
use queue_examples::webhooks::deliver::{KIND, Office, deliver};
use queue_examples::webhooks::plan::Pace;
use queue_examples::webhooks::post::{Delivery, Post, PostError, Reply, tokio::Client};
use queue_examples::webhooks::receivers::Behaviour;
use queue_examples::webhooks::{Campaign, Interrupt, Plan, Report, RuntimeName, Watcher, run};
use queue_tokio::{Queue, Tokio};

const NEVER: Duration = Duration::from_hours(1);

macro_rules! on_every_runtime {
    ($($scenario:ident),* $(,)?) => {$(
        mod $scenario {
            use queue_examples::webhooks::RuntimeName;

            #[test]
            fn tokio() {
                super::$scenario(RuntimeName::Tokio);
            }

            #[test]
            fn smol() {
                super::$scenario(RuntimeName::Smol);
            }

            #[test]
            fn compio() {
                super::$scenario(RuntimeName::Compio);
            }
        }
    )*};
}

on_every_runtime!(
    every_delivery_comes_to_its_end,
    an_interrupt_hands_back_what_waits,
    an_interrupt_hands_back_what_does_not_end_in_time,
    an_interrupt_before_the_start_ends_it_at_once,
    what_is_left_stays_in_the_store,
);

fn every_delivery_comes_to_its_end(runtime: RuntimeName) {
    let plan = hurried();
    let report = run(runtime, &plan, &mut Nobody, &Interrupt::new()).expect("it runs");
    assert_sound(&report);
    assert_eq!(report.ending, Ending::Settled);
    assert_eq!((report.total.accepted, report.total.acknowledged, report.total.dead), (24, 18, 6));
    let line =
        |name: &str| report.receivers.iter().find(|line| line.name == name).expect("it is in the plan");
    assert!(line("flaky").attempts >= 9, "each failed twice");
    assert!(report.seconds >= 1.0, "a window of a second admits two of three");
    assert!(line("limited").attempts < 10, "the third does not ask again and again");
    assert!(line("refused").attempts > line("refused").seen, "some found nobody");
    assert!(line("slow").duplicates >= 3, "each came again");
    assert!(line("hangup").duplicates >= 3, "each came again");
    assert!(line("gone").attempts >= 3);
    assert!(line("broken").attempts >= 9);
    let reasons: Vec<_> =
        report.dead_letters.iter().map(|dead| (dead.receiver.as_str(), dead.reason)).collect();
    let (gone, broken) = (("gone", "discarded"), ("broken", "retries exhausted"));
    assert_eq!(reasons, [gone, broken, gone, broken, gone, broken]);
}

fn an_interrupt_hands_back_what_waits(runtime: RuntimeName) {
    let mut plan = hurried();
    plan.pace.base_delay = NEVER;
    plan.pace.longest_delay = NEVER;
    let interrupt = Interrupt::new();
    let report = run(runtime, &plan, &mut RaiseAtSuccess(&interrupt), &interrupt).expect("it runs");
    assert_sound(&report);
    assert_eq!(report.ending, Ending::Interrupted);
    for name in ["flaky", "slow", "refused", "hangup", "broken"] {
        let back = report.handed_back.iter().filter(|back| back.receiver == name).count();
        assert_eq!(back, 3, "the first attempt fails, and nobody waits for a second: {report}");
    }
}

fn an_interrupt_hands_back_what_does_not_end_in_time(runtime: RuntimeName) {
    let mut plan = hurried();
    plan.routes.retain(|route| matches!(route.name, "healthy" | "slow"));
    plan.pace.timeout = NEVER;
    plan.pace.drain = Duration::from_millis(20);
    let interrupt = Interrupt::new();
    let report = run(runtime, &plan, &mut RaiseAtSuccess(&interrupt), &interrupt).expect("it runs");
    assert_sound(&report);
    let back: Vec<_> = report.handed_back.iter().filter(|back| back.receiver == "slow").collect();
    assert_eq!(back.len(), 12, "{report}");
    assert!(back.iter().all(|back| back.attempts == 0), "an interruption is no failure: {back:?}");
}

fn an_interrupt_before_the_start_ends_it_at_once(runtime: RuntimeName) {
    let mut plan = hurried();
    plan.routes.retain(|route| route.name == "slow");
    plan.pace.timeout = NEVER;
    plan.pace.drain = Duration::ZERO;
    let interrupt = Interrupt::new();
    interrupt.raise();
    let report = run(runtime, &plan, &mut Nobody, &interrupt).expect("it runs");
    assert_sound(&report);
    assert_eq!((report.ending, report.total.handed_back), (Ending::Interrupted, 24));
}

fn what_is_left_stays_in_the_store(runtime: RuntimeName) {
    let folder = tempfile::tempdir().expect("there is room");
    let mut plan = hurried();
    plan.store = Some(folder.path().join("jobs.db"));
    plan.routes.retain(|route| matches!(route.name, "gone" | "slow"));
    let patient = plan.pace;
    plan.pace.timeout = NEVER;
    plan.pace.drain = Duration::from_millis(20);
    let interrupt = Interrupt::new();
    let report = run(runtime, &plan, &mut RaiseAtDeath(&interrupt), &interrupt).expect("it runs");
    assert!(report.is_ok(), "{report}");
    let lives = report.lives.as_ref().expect("they outlive it");
    assert_eq!((lives.lives, lives.kills), (1, 0), "{report}");
    assert!(lives.kept >= 12, "nothing slow gets through: {report}");
    assert_eq!(report.total.accepted, report.total.dead + lives.kept, "{report}");

    plan.pace = patient;
    let report = run(runtime, &plan, &mut Nobody, &Interrupt::new()).expect("it runs");
    assert_sound(&report);
    let lives = report.lives.as_ref().expect("they outlive it");
    assert_eq!((lives.lives, lives.kills, lives.kept, lives.pushed_twice), (2, 0, 0, 0), "{report}");
    assert_eq!((report.total.acknowledged, report.total.dead), (12, 12), "{report}");
    assert!(lives.repeated > 0, "those that were interrupted began again: {report}");
}

#[test]
fn a_client_that_only_claims_to_have_posted_is_found_out() {
    #[derive(Clone)]
    struct Liar;
    impl Post for Liar {
        async fn post(&self, _: &Delivery) -> Result<Reply, PostError> {
            Ok(Reply { status: 200, retry_after: None })
        }
    }
    let report = with_handler(&healthy(), |office, job| deliver(Liar, office, job));
    assert_eq!(report.problems.len(), 3, "{report}");
    assert!(report.problems[0].ends_with("never acknowledged it"), "{report}");
}

#[test]
fn a_handler_that_posts_twice_is_found_out() {
    let client = Client::new();
    let report = with_handler(&healthy(), move |office, job| {
        let client = client.clone();
        async move {
            deliver(client.clone(), office.clone(), job.clone()).await?;
            deliver(client, office, job).await
        }
    });
    assert_eq!(report.problems.len(), 3, "{report}");
    assert!(report.problems[0].ends_with("saw 2 attempts, but only 1 were made"), "{report}");
}

#[test]
fn a_client_that_alters_what_it_posts_is_found_out() {
    #[derive(Clone)]
    struct Forger(Client);
    impl Post for Forger {
        async fn post(&self, delivery: &Delivery) -> Result<Reply, PostError> {
            let mut forged = delivery.clone();
            forged.body = [&delivery.body[..], b" "].concat().into();
            self.0.post(&forged).await
        }
    }
    let client = Forger(Client::new());
    let report = with_handler(&healthy(), move |office, job| deliver(client.clone(), office, job));
    assert_eq!(report.problems.len(), 3, "{report}");
    assert!(report.problems[0].ends_with("what its receiver saw is not what was sent"), "{report}");
}

#[test]
fn a_delivery_that_comes_to_no_end_is_given_up_and_said_so() {
    let mut plan = healthy();
    plan.pace =
        Pace { timeout: NEVER, drain: Duration::ZERO, patience: Duration::from_millis(20), ..plan.pace };
    let report = with_handler(&plan, |_, _| async {
        std::future::pending::<()>().await;
        Ok(())
    });
    assert_eq!((report.ending, report.total.handed_back), (Ending::OutOfPatience, 3), "{report}");
    assert_eq!(report.problems, ["it came to no end by itself"]);
}

/// Three deliveries to each receiver, as fast as they can be: waits are short and tries are many, so that a busy machine
/// changes nothing but the number of attempts.
fn hurried() -> Plan {
    let mut plan = Plan::standard().expect("the data file is well formed");
    plan.payloads.truncate(24);
    plan.pace = Pace {
        timeout: Duration::from_millis(200),
        base_delay: Duration::from_millis(5),
        longest_delay: Duration::from_millis(100),
        drain: Duration::from_secs(2),
        patience: Duration::from_mins(1),
    };
    for route in &mut plan.routes {
        route.retries = if route.behaviour == Behaviour::Broken { 2 } else { 100 };
        match &mut route.behaviour {
            Behaviour::RateLimited { limit, .. } => *limit = 2,
            Behaviour::Slow { delay } => *delay = NEVER,
            _ => {}
        }
    }
    plan
}

fn healthy() -> Plan {
    let mut plan = hurried();
    plan.routes.retain(|route| route.behaviour == Behaviour::Healthy);
    plan.payloads.truncate(3);
    plan
}

fn with_handler<H, F>(plan: &Plan, handler: H) -> Report
where
    H: Fn(Office, Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let mut campaign = Campaign::start(plan).expect("loopback ports");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
    runtime.block_on(async {
        let queue = campaign.build(Queue::builder()).expect("in memory");
        let office = campaign.office();
        queue.register(KIND, move |job| handler(office.clone(), job));
        queue.start();
        let driven = campaign.drive(&queue, &Tokio::default(), &mut Nobody, &Interrupt::new()).await;
        driven.expect("it runs");
    });
    drop(runtime);
    campaign.finish("tokio").expect("it was driven")
}

#[track_caller]
fn assert_sound(report: &Report) {
    assert!(report.is_ok(), "{report}");
    let total = &report.total;
    assert_eq!(total.accepted, total.acknowledged + total.dead + total.handed_back, "{report}");
}

struct Nobody;

impl Watcher for Nobody {
    fn event(&mut self, _: &Event) {}

    fn stopping(&mut self, _: Ending) {}
}

/// Raises the interrupt when the first delivery is acknowledged.
struct RaiseAtSuccess<'a>(&'a Interrupt);

impl Watcher for RaiseAtSuccess<'_> {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Succeeded(_)) {
            self.0.raise();
        }
    }

    fn stopping(&mut self, _: Ending) {}
}

/// Raises the interrupt when the first delivery is dead.
struct RaiseAtDeath<'a>(&'a Interrupt);

impl Watcher for RaiseAtDeath<'_> {
    fn event(&mut self, event: &Event) {
        if matches!(event, Event::Died { .. }) {
            self.0.raise();
        }
    }

    fn stopping(&mut self, _: Ending) {}
}
