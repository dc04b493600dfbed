//! One delivery of everything, from the first push to the report.

use std::ops::RangeInclusive;
use std::pin::pin;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::{self, Either};
use queue_core::{
    DeadJob, Event, HandedBack, JobId, NewJob, Payload as JobPayload, Queue, Runtime, ShutdownReport,
    Subscription,
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::audit::{Evidence, Letter, Returned};
use super::deliver::{KIND, Webhook};
use super::interrupt::Interrupt;
use super::plan::Plan;
use super::receivers::{Behaviour, Fingerprint, Receivers};
use super::report::Report;
use super::tally::Tally;

/// More than a campaign has, so that none is missed.
const EVENTS: usize = 1 << 14;

/// Whoever wants to see how a campaign goes.
pub trait Watcher: Send {
    /// Something happened to a job.
    fn event(&mut self, event: &Event);

    /// The campaign is over, or is being ended early.
    fn stopping(&mut self, ending: Ending);
}

/// Why a campaign stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every delivery came to its end.
    Settled,
    /// Somebody wished it.
    Interrupted,
    /// It took so long that something must be broken.
    OutOfPatience,
}

/// A delivery that the queue accepted.
#[derive(Debug, Clone)]
pub struct Shipment {
    /// Its job.
    pub id: JobId,
    /// The id on the wire.
    pub delivery: String,
    /// The event's name.
    pub event: String,
    /// Its receiver's place in the plan.
    pub route: usize,
    /// What its job carries.
    pub payload: JobPayload,
    /// What its receiver must have seen.
    pub fingerprint: Fingerprint,
}

/// One delivery of everything. Its receivers run as long as it lives.
#[derive(Debug)]
pub struct Campaign<'a> {
    plan: &'a Plan,
    receivers: Receivers,
    shipments: Vec<Shipment>,
    tally: Tally,
    conclusion: Option<Conclusion>,
}

/// What the queue says at the end.
#[derive(Debug)]
struct Conclusion {
    ending: Ending,
    took: Duration,
    missed_events: u64,
    dead: Vec<Letter>,
    shutdown: ShutdownReport,
    /// How many deliveries had come to an end when shutdown began: it begins between two looks.
    ended_before: RangeInclusive<usize>,
}

impl<'a> Campaign<'a> {
    /// Starts the receivers.
    ///
    /// # Errors
    ///
    /// When there is no port or no thread for one of them.
    pub fn start(plan: &'a Plan) -> anyhow::Result<Self> {
        let receivers = plan.routes.iter().map(|route| (route.name, route.behaviour));
        let receivers = Receivers::start(receivers).context("cannot start the receivers")?;
        Ok(Self { plan, receivers, shipments: Vec::new(), tally: Tally::default(), conclusion: None })
    }

    /// Pushes everything, watches until it is delivered or dead, and shuts the queue down. The queue's handlers are
    /// registered and its workers run.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue running and the campaign without an end.
    ///
    /// # Errors
    ///
    /// When the queue does not accept a job, or a receiver cannot be opened.
    pub async fn drive<R: Runtime>(
        &mut self,
        queue: &Queue<R>,
        runtime: &R,
        watcher: &mut dyn Watcher,
        interrupt: &Interrupt,
    ) -> anyhow::Result<()> {
        let started = runtime.now();
        let mut events = queue.subscribe(EVENTS);
        self.push(queue).await?;

        let wished = pin!(interrupt.raised());
        let patience = pin!(runtime.sleep_until(started + self.plan.pace.patience));
        let stop = future::select(wished, patience).map(|first| match first {
            Either::Left(_) => Ending::Interrupted,
            Either::Right(_) => Ending::OutOfPatience,
        });
        let ending = self.watch(&mut events, stop, watcher).await?;
        watcher.stopping(ending);
        let (shutdown, ended_before) = self.shut_down(queue, &mut events, watcher).await?;

        self.conclusion = Some(Conclusion {
            ending,
            took: runtime.now().saturating_duration_since(started),
            missed_events: events.missed(),
            dead: queue.dead_letters().iter().map(|dead| Letter::from(&**dead)).collect(),
            shutdown,
            ended_before,
        });
        Ok(())
    }

    /// Stops the receivers, and holds everyone's account against the others.
    ///
    /// # Errors
    ///
    /// When the campaign was not driven to its end.
    pub fn finish(self, runtime: &str) -> anyhow::Result<Report> {
        let conclusion = self.conclusion.context("the campaign was not driven to its end")?;
        let Conclusion { ending, took, missed_events, dead, shutdown, ended_before } = conclusion;
        let evidence = Evidence {
            routes: self.plan.routes.clone(),
            shipments: self.shipments,
            ending,
            tracks: self.tally.tracks,
            missed_events,
            dead,
            returned: shutdown.handed_back.iter().map(Returned::from).collect(),
            abandoned: shutdown.abandoned,
            drained: shutdown.finished + shutdown.dead_lettered,
            cancelled: shutdown.cancelled,
            ended_before,
            ledger: self.receivers.stop(),
        };
        Ok(Report::of(runtime, took, &evidence))
    }

    async fn push<R: Runtime>(&mut self, queue: &Queue<R>) -> anyhow::Result<()> {
        let mut jobs = Vec::new();
        for (index, payload) in self.plan.payloads.iter().enumerate() {
            let route = index % self.plan.routes.len();
            let name = self.plan.routes[route].name;
            let webhook = Webhook {
                delivery: format!("delivery-{:03}", index + 1),
                event: payload.event.clone(),
                url: self.receivers.url(name).context("every route has a receiver")?,
                body: RawValue::from_string(payload.body.clone())?,
            };
            let job = NewJob::json(KIND, &webhook)?.queue(name);
            let fingerprint = Fingerprint::of(&payload.event, payload.body.as_bytes());
            jobs.push((webhook, route, fingerprint, job));
        }
        let ids = queue.push_many(jobs.iter().map(|(.., job)| job.clone())).await?;
        let accepted = ids.into_iter().zip(jobs);
        self.shipments.extend(accepted.map(|(id, (webhook, route, fingerprint, job))| Shipment {
            id,
            delivery: webhook.delivery,
            event: webhook.event,
            route,
            payload: job.payload().clone(),
            fingerprint,
        }));
        Ok(())
    }

    /// Watches until everything is settled, or `stop` says to stop.
    async fn watch(
        &mut self,
        events: &mut Subscription,
        mut stop: impl Future<Output = Ending> + Unpin,
        watcher: &mut dyn Watcher,
    ) -> anyhow::Result<Ending> {
        while self.tally.settled() < self.shipments.len() {
            match future::select(&mut stop, pin!(events.recv())).await {
                Either::Left((ending, _)) => return Ok(ending),
                Either::Right((event, _)) => {
                    let event = event.context("somebody else shut the queue down")?;
                    self.note(&event, watcher)?;
                }
            }
        }
        Ok(Ending::Settled)
    }

    /// Shuts down, and says how many deliveries had come to an end before.
    async fn shut_down<R: Runtime>(
        &mut self,
        queue: &Queue<R>,
        events: &mut Subscription,
        watcher: &mut dyn Watcher,
    ) -> anyhow::Result<(ShutdownReport, RangeInclusive<usize>)> {
        let at_least = self.catch_up(events, watcher)?;
        let mut shutdown = pin!(future::maybe_done(queue.shutdown(self.plan.pace.drain)));
        // It begins when it is first polled, somewhere between these two looks.
        let _ = futures::poll!(&mut shutdown);
        let at_most = self.catch_up(events, watcher)?;
        let rest = async {
            while let Some(event) = events.recv().await {
                self.note(&event, watcher)?;
            }
            anyhow::Ok(())
        };
        let ((), seen) = future::join(&mut shutdown, rest).await;
        seen?;
        let report = shutdown.take_output().context("shutdown was awaited")?;
        Ok((report, at_least..=at_most))
    }

    fn catch_up(&mut self, events: &mut Subscription, watcher: &mut dyn Watcher) -> anyhow::Result<usize> {
        while let Some(event) = events.try_recv() {
            self.note(&event, watcher)?;
        }
        Ok(self.tally.ended())
    }

    fn note(&mut self, event: &Event, watcher: &mut dyn Watcher) -> anyhow::Result<()> {
        self.tally.note(event);
        watcher.event(event);
        if matches!(event, Event::Retried { job, .. } if self.has_had_enough(&job.queue)) {
            self.receivers.open().context("a receiver cannot be opened")?;
        }
        Ok(())
    }

    /// A receiver that refuses connections does so until each of its deliveries has met it once.
    fn has_had_enough(&self, name: &str) -> bool {
        let mut routes = self.plan.routes.iter();
        let Some(route) = routes.position(|route| route.name == name) else { return false };
        let mut shipments = self.shipments.iter().filter(|shipment| shipment.route == route);
        self.plan.routes[route].behaviour == Behaviour::Refused
            && shipments
                .all(|shipment| self.tally.tracks.get(&shipment.id).is_some_and(|track| track.failed > 0))
    }
}

impl From<&DeadJob> for Letter {
    fn from(dead: &DeadJob) -> Self {
        Self {
            id: dead.id,
            attempts: dead.attempts,
            reason: dead.reason,
            error: dead.error.clone(),
            payload: dead.payload.clone(),
        }
    }
}

impl From<&HandedBack> for Returned {
    fn from(returned: &HandedBack) -> Self {
        Self { id: returned.id, attempts: returned.attempts, payload: returned.job.payload().clone() }
    }
}
