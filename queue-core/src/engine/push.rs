//! Taking jobs in.

use std::task::{Poll, Waker};

use super::channel::{Channel, ChannelState};
use super::closing::Phase;
use super::ids::Ids;
use super::waiters::Ticket;
use super::{Accepted, Core, Effects};
use crate::event::Event;
use crate::job::{JobId, JobOptions, Name, NewJob};
use crate::payload::Payload;
use crate::registry::Kind;
use crate::store::{Entry, Extras, When};

/// A job on its way in. It keeps its parts until it is accepted, so that a refusal loses nothing.
#[derive(Debug)]
pub(crate) struct Submission {
    pub(crate) kind: Kind,
    pub(crate) payload: Payload,
    pub(crate) options: JobOptions,
}

impl Submission {
    /// Whether it is ready at once and brings nothing of its own.
    pub(super) fn is_plain(&self) -> bool {
        self.kind != Kind::UNKNOWN && self.options.delay.is_none() && self.options.overrides.is_none()
    }

    /// The job as a store keeps it, with all that it brings.
    fn entry(&mut self, id: JobId, name: &str) -> Entry {
        let payload = std::mem::replace(&mut self.payload, Payload::empty());
        let mut entry = Entry::new(id, self.kind, self.options.priority, payload);
        let overrides = self.options.overrides.take().filter(|overrides| overrides.outlive_push());
        if self.kind == Kind::UNKNOWN || overrides.is_some() {
            let name = (self.kind == Kind::UNKNOWN).then(|| Name::from(name));
            entry.extras = Some(Box::new(Extras { name, overrides, history: Vec::new() }));
        }
        entry
    }

    /// The job as it came, with the name of its kind, to be given back.
    pub(crate) fn take(&mut self, kind: Name) -> NewJob {
        let payload = std::mem::replace(&mut self.payload, Payload::empty());
        NewJob { kind, payload, options: std::mem::take(&mut self.options) }
    }
}

/// Why a channel does not take a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// There is no room, or others wait for it.
    Full,
    /// It could not fit even if nothing else waited.
    TooLarge,
    ShutDown,
}

/// One job of a batch.
pub(crate) struct BatchItem<'a> {
    pub(crate) name: &'a str,
    pub(crate) job: &'a mut Submission,
    /// Set when the job is accepted.
    pub(crate) accepted: &'a mut Option<Accepted>,
}

impl Channel {
    /// Accepts the job now, or not at all.
    pub(crate) fn try_push(
        &self,
        core: &Core,
        name: &str,
        job: &mut Submission,
    ) -> Result<Accepted, Refusal> {
        if let Some(id) = self.post(core, job) {
            return Ok(Accepted::Now(id));
        }
        self.with_inbox(core, |state, ids, effects| {
            self.admit(state, job.payload.len())?;
            Ok(self.accept(core, state, ids, name, job, effects))
        })
    }

    /// Accepts the job now, or joins the line and has `waker` woken when it is this one's turn.
    pub(crate) fn poll_push(
        &self,
        core: &Core,
        name: &str,
        job: &mut Submission,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<Accepted, Refusal>> {
        if ticket.is_none()
            && let Some(id) = self.post(core, job)
        {
            return Poll::Ready(Ok(Accepted::Now(id)));
        }
        self.with_inbox(core, |state, ids, effects| {
            let bytes = job.payload.len();
            // Only who does not wait yet may find room: who waits is granted it in turn.
            let admission = match *ticket {
                Some(waiting) if state.phase == Phase::Open && !state.waiters.redeem(waiting) => {
                    Err(Refusal::Full)
                }
                Some(_) if state.phase == Phase::Open => Ok(()),
                _ => self.admit(state, bytes),
            };
            if admission == Err(Refusal::Full) {
                *ticket = Some(state.waiters.wait(*ticket, bytes, waker));
                return Poll::Pending;
            }
            *ticket = None;
            Poll::Ready(admission.map(|()| self.accept(core, state, ids, name, job, effects)))
        })
    }

    /// A push that waited is dropped: its place, or its grant, goes to the next.
    pub(crate) fn leave_line(&self, core: &Core, ticket: Ticket) {
        self.with(core, |state, effects| {
            state.waiters.leave(ticket);
            self.grant_room(state, effects);
        });
    }

    /// Accepts jobs in order as far as there is room, under one lock and with one wake decision. Says how many, and what
    /// the first one that was not accepted was refused for. No more than `bytes` are in their payloads.
    pub(crate) fn push_batch<'a>(
        &self,
        core: &Core,
        jobs: impl ExactSizeIterator<Item = BatchItem<'a>>,
        bytes: usize,
    ) -> (usize, Result<(), Refusal>) {
        self.with_inbox(core, |state, ids, effects| {
            let (mut pushed, mut answer) = (0, Ok(()));
            let before = state.store.counts().ready;
            // If all of them fit, nobody is asked again for each.
            let fit = !core.is_durable() && self.admit_all(state, jobs.len(), bytes);
            for BatchItem { name, job, accepted } in jobs {
                if !fit {
                    answer = self.admit(state, job.payload.len());
                    if answer.is_err() {
                        break;
                    }
                }
                *accepted = Some(if core.is_durable() {
                    self.write(core, state, name, job)
                } else {
                    Accepted::Now(self.insert(core, state, ids, name, job, effects))
                });
                pushed += 1;
            }
            let added = state.store.counts().ready - before;
            self.wake_workers(state, added, effects);
            self.publish(core, state, effects);
            (pushed, answer)
        })
    }

    fn post(&self, core: &Core, job: &mut Submission) -> Option<JobId> {
        if !job.is_plain() || core.events.any() || core.is_durable() {
            return None;
        }
        self.inbox.post(job, &core.numbers)
    }

    fn admit(&self, state: &ChannelState, bytes: usize) -> Result<(), Refusal> {
        if state.phase != Phase::Open {
            return Err(Refusal::ShutDown);
        }
        if bytes > self.config.capacity_bytes {
            return Err(Refusal::TooLarge);
        }
        if !self.has_room(state, bytes) {
            return Err(Refusal::Full);
        }
        Ok(())
    }

    /// Whether so many jobs come in together.
    fn admit_all(&self, state: &ChannelState, jobs: usize, bytes: usize) -> bool {
        state.phase == Phase::Open && self.has_room_for(state, jobs, bytes)
    }

    fn accept(
        &self,
        core: &Core,
        state: &mut ChannelState,
        ids: &mut Ids,
        name: &str,
        job: &mut Submission,
        effects: &mut Effects,
    ) -> Accepted {
        if core.is_durable() {
            return self.write(core, state, name, job);
        }
        let delayed = job.options.delay.is_some();
        let id = self.insert(core, state, ids, name, job, effects);
        if delayed {
            self.publish(core, state, effects);
        }
        self.wake_workers(state, 1, effects);
        Accepted::Now(id)
    }

    fn insert(
        &self,
        core: &Core,
        state: &mut ChannelState,
        ids: &mut Ids,
        name: &str,
        job: &mut Submission,
        effects: &mut Effects,
    ) -> JobId {
        let id = ids.next(&core.numbers);
        if job.is_plain() {
            state.store.push_plain(id, job.kind, job.options.priority, &mut job.payload);
        } else {
            let when = job.options.delay.map_or(When::Now, |delay| When::after(delay, || core.now()));
            state.store.push(job.entry(id, name), when);
        }
        core.record(effects, || Event::Pushed(self.info(id, Name::from(name), 0)));
        id
    }
}
