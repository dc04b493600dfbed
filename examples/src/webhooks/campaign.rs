//! One delivery of everything, from the first push to the report.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::FutureExt as _;
use futures::future::{self, Either};
use queue_core::{
    Builder, DeadJob, Event, HandedBack, JobId, NewJob, Payload as JobPayload, Queue, Runtime,
    ShutdownReport, Subscription,
};
use queue_sqlite::Store;
use serde::Serialize;
use serde_json::value::RawValue;

use super::deliver::{KIND, Office, Webhook};
use super::evidence::{Evidence, Letter, Returned};
use super::history::History;
use super::interrupt::Interrupt;
use super::logbook::{Entry, Logbook};
use super::plan::{Plan, Route};
use super::receivers::{Behaviour, Fingerprint, Receivers};
use super::report::Report;
use super::tally::{Tally, What};

/// More than a campaign has, so that none is missed.
const EVENTS: usize = 1 << 14;

/// How many are pushed at a time with a store, and so the most that a kill leaves in doubt.
const IN_DOUBT: usize = 32;

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
    logbook: Option<Logbook>,
    events: Option<Subscription>,
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
    /// How many deliveries had come to an end when shutdown began, at least and at most: it begins between two looks.
    ended_before: (usize, Option<usize>),
}

impl<'a> Campaign<'a> {
    /// Starts the receivers, and reads what is known from earlier lives.
    ///
    /// # Errors
    ///
    /// When there is no port or no thread for one of them, or what is known cannot be read.
    pub fn start(plan: &'a Plan) -> anyhow::Result<Self> {
        let logbook = plan.store.as_deref().map(|path| Logbook::open(&beside(path))).transpose()?;
        let receivers = plan.routes.iter().map(|route| (route.name, route.behaviour));
        let receivers =
            Receivers::resume(receivers, logbook.as_ref()).context("cannot start the receivers")?;
        let mut campaign = Self {
            plan,
            receivers,
            shipments: Vec::new(),
            tally: Tally::default(),
            logbook,
            events: None,
            conclusion: None,
        };
        if let Some(history) = campaign.history()? {
            campaign.take_over(&history)?;
            campaign.tally = history.tally;
        }
        Ok(campaign)
    }

    /// The queue, with the named queues, the store if there is one, and a subscription from before anything can run.
    ///
    /// # Errors
    ///
    /// When the store cannot be opened.
    pub fn build<R: Runtime>(&mut self, builder: Builder<R>) -> anyhow::Result<Queue<R>> {
        let mut builder = self.plan.configure(builder);
        if let Some(path) = &self.plan.store {
            // Whoever kills this program does so on purpose: the jobs that ran are innocent.
            let options = Store::options().crashes_before_quarantine(NonZeroU32::MAX);
            builder = builder.store(options.open(path)?);
        }
        let queue = builder.build();
        self.events = Some(queue.subscribe(EVENTS));
        Ok(queue)
    }

    /// What the handler needs apart from a client.
    #[must_use]
    pub fn office(&self) -> Office {
        let url = |name: &str| Some((name.to_owned(), self.receivers.url(name)?));
        let addresses = self.receivers.names().filter_map(url).collect();
        Office { addresses: Arc::new(addresses), logbook: self.logbook.clone() }
    }

    /// Pushes everything, watches until it is delivered or dead, and shuts the queue down. It is the queue that was
    /// [built](Self::build) here; its handlers are registered and its workers run.
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
        let mut events = self.events.take().context("the queue is not one that was built here")?;
        self.push(queue).await?;
        self.open_if_all_have_failed()?;

        let wished = pin!(interrupt.raised());
        let patience = pin!(runtime.sleep_until(started + self.plan.pace.patience));
        let stop = future::select(wished, patience).map(|first| match first {
            Either::Left(_) => Ending::Interrupted,
            Either::Right(_) => Ending::OutOfPatience,
        });
        let ending = self.watch(queue, &mut events, stop, watcher).await?;
        watcher.stopping(ending);
        let (shutdown, ended_before) = self.shut_down(queue, &mut events, watcher).await?;
        if let Some(logbook) = &self.logbook {
            logbook.note(Entry::Over);
        }

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
    pub fn finish(mut self, runtime: &str) -> anyhow::Result<Report> {
        let conclusion = self.conclusion.take().context("the campaign was not driven to its end")?;
        let ledger = self.receivers.stop();
        self.receivers = Receivers::start::<&str>([])?;
        let history = self.history()?;
        if let Some(history) = &history {
            self.take_over(history)?;
        }
        let Conclusion { ending, took, missed_events, dead, shutdown, ended_before } = conclusion;
        let evidence = Evidence {
            routes: self.plan.routes.clone(),
            shipments: self.shipments,
            ending,
            tracks: self.tally.tracks,
            missed_events,
            dead,
            returned: shutdown.handed_back.iter().map(Returned::from).collect(),
            kept: shutdown.kept,
            abandoned: shutdown.abandoned,
            drained: shutdown.finished + shutdown.dead_lettered,
            cancelled: shutdown.cancelled,
            ended_before,
            ledger,
            history,
        };
        Ok(Report::of(runtime, took, &evidence))
    }

    fn history(&self) -> anyhow::Result<Option<History>> {
        self.logbook.as_ref().map(Logbook::history).transpose().context("the logbook cannot be written")
    }

    /// Takes over what an earlier life has pushed, and what it has pushed without living to see it accepted.
    fn take_over(&mut self, history: &History) -> anyhow::Result<()> {
        let known: BTreeSet<_> = self.shipments.iter().map(|shipment| shipment.id).collect();
        for (id, delivery) in history.accepted.iter().filter(|(id, _)| !known.contains(id)) {
            let mut indices = 0..self.plan.payloads.len();
            let index = indices.find(|index| delivery_name(*index) == *delivery);
            let index = index.with_context(|| format!("the logbook is not of this plan: {delivery}"))?;
            let (shipment, _) = self.shipment(*id, index)?;
            self.shipments.push(shipment);
        }
        Ok(())
    }

    async fn push<R: Runtime>(&mut self, queue: &Queue<R>) -> anyhow::Result<()> {
        let unknown = JobId::new(0);
        let known: BTreeSet<_> = self.shipments.iter().map(|shipment| shipment.delivery.clone()).collect();
        let indices = (0..self.plan.payloads.len()).filter(|index| !known.contains(&delivery_name(*index)));
        let (mut shipments, jobs): (Vec<_>, Vec<_>) = indices
            .map(|index| self.shipment(unknown, index))
            .collect::<anyhow::Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        let at_once = if self.logbook.is_some() { IN_DOUBT } else { usize::MAX };
        let mut jobs = jobs.into_iter();
        for shipments in shipments.chunks_mut(at_once) {
            self.note_all(shipments, |Shipment { delivery, .. }| Entry::Pushing { delivery });
            let ids = queue.push_many(jobs.by_ref().take(shipments.len())).await?;
            for (shipment, id) in shipments.iter_mut().zip(ids) {
                shipment.id = id;
            }
            self.note_all(shipments, |Shipment { delivery, id, .. }| Entry::Accepted {
                delivery,
                job: id.as_u64(),
            });
        }
        self.shipments.append(&mut shipments);
        Ok(())
    }

    fn note_all(&self, shipments: &[Shipment], entry: impl Fn(Shipment) -> Entry) {
        if let Some(logbook) = &self.logbook {
            shipments.iter().cloned().map(entry).for_each(|entry| logbook.note(entry));
        }
    }

    /// The delivery at this place in the plan, and its job.
    fn shipment(&self, id: JobId, index: usize) -> anyhow::Result<(Shipment, NewJob)> {
        let route = index % self.plan.routes.len();
        let (name, payload) = (self.plan.routes[route].name, &self.plan.payloads[index]);
        let webhook = Webhook {
            delivery: delivery_name(index),
            event: payload.event.clone(),
            receiver: name.to_owned(),
            body: RawValue::from_string(payload.body.clone())?,
        };
        let job = NewJob::json(KIND, &webhook)?.queue(name);
        let fingerprint = Fingerprint::of(&payload.event, payload.body.as_bytes());
        let Webhook { delivery, event, .. } = webhook;
        Ok((Shipment { id, delivery, event, route, payload: job.payload().clone(), fingerprint }, job))
    }

    /// Watches until everything is settled, or `stop` says to stop.
    async fn watch<R: Runtime>(
        &mut self,
        queue: &Queue<R>,
        events: &mut Subscription,
        mut stop: impl Future<Output = Ending> + Unpin,
        watcher: &mut dyn Watcher,
    ) -> anyhow::Result<Ending> {
        while !self.is_over(queue)? {
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

    fn is_over<R: Runtime>(&self, queue: &Queue<R>) -> anyhow::Result<bool> {
        if self.logbook.is_none() {
            return Ok(self.tally.settled() >= self.shipments.len());
        }
        // What an earlier life has pushed or ended without living to say so is not known here, but the queue knows.
        let mut left = 0;
        for route in &self.plan.routes {
            let counts = queue.counts(route.name)?;
            left += counts.ready + counts.delayed + counts.running;
        }
        Ok(left == 0)
    }

    /// Shuts down, and says how many deliveries had come to an end before.
    async fn shut_down<R: Runtime>(
        &mut self,
        queue: &Queue<R>,
        events: &mut Subscription,
        watcher: &mut dyn Watcher,
    ) -> anyhow::Result<(ShutdownReport, (usize, Option<usize>))> {
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
        // With a store, events come after what they tell of.
        Ok((report, (at_least, self.logbook.is_none().then_some(at_most))))
    }

    fn catch_up(&mut self, events: &mut Subscription, watcher: &mut dyn Watcher) -> anyhow::Result<usize> {
        while let Some(event) = events.try_recv() {
            self.note(&event, watcher)?;
        }
        Ok(self.tally.ended())
    }

    fn note(&mut self, event: &Event, watcher: &mut dyn Watcher) -> anyhow::Result<()> {
        if let Some((job, what)) = What::of(event) {
            self.tally.count(job.id, what);
            if let Some(logbook) = &self.logbook {
                logbook.note(Entry::Told { job: job.id.as_u64(), what });
            }
        }
        watcher.event(event);
        if matches!(event, Event::Retried { .. }) {
            self.open_if_all_have_failed()?;
        }
        Ok(())
    }

    fn open_if_all_have_failed(&mut self) -> anyhow::Result<()> {
        let refuses = |route: &Route| route.behaviour == Behaviour::Refused;
        match self.plan.routes.iter().position(refuses) {
            Some(route) if self.has_had_enough(route) => {
                self.receivers.open().context("a receiver cannot be opened")
            }
            _ => Ok(()),
        }
    }

    /// A receiver that refuses connections does so until each of its deliveries has met it once.
    fn has_had_enough(&self, route: usize) -> bool {
        let mut shipments = self.shipments.iter().filter(|shipment| shipment.route == route);
        shipments.all(|shipment| self.tally.tracks.get(&shipment.id).is_some_and(|track| track.failed > 0))
    }
}

fn delivery_name(index: usize) -> String {
    format!("delivery-{:03}", index + 1)
}

/// Where the logbook of this store is.
fn beside(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".logbook");
    name.into()
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
