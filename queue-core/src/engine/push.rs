//! Taking jobs in.

use std::ops::Range;
use std::task::{Poll, Waker};

use super::channel::{Channel, ChannelState};
use super::closing::Phase;
use super::ids::Ids;
use super::waiters::Ticket;
use super::{Accepted, Core, Effects};
use crate::event::Event;
use crate::job::{Content, JobId, Name, NewJob};
use crate::registry::Kind;
use crate::store::{Entry, Extras, When};

/// A job on its way in. What is its own stays with the caller until it is accepted, so that a refusal loses nothing.
pub(crate) struct Submission<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) content: &'a mut Content,
}

impl Submission<'_> {
    /// When the job may run, if it is accepted now.
    pub(super) fn when(&self, core: &Core) -> When {
        self.content.options.delay.map_or(When::Now, |delay| When::after(delay, || core.now()))
    }

    /// The job as a store keeps it, with all that it brings.
    fn entry(self, id: JobId) -> Entry {
        let Content { payload, options } = self.content.take();
        let mut entry = Entry::new(id, self.kind, options.priority, payload);
        let overrides = options.overrides.filter(|overrides| overrides.outlive_push());
        if self.kind == Kind::UNKNOWN || overrides.is_some() {
            let name = (self.kind == Kind::UNKNOWN).then(|| Name::from(self.name));
            entry.extras = Some(Box::new(Extras { name, overrides, history: Vec::new() }));
        }
        entry
    }
}

/// Many jobs on their way in.
#[derive(Debug)]
pub(crate) struct Submissions {
    /// In the order they came. What is left of an accepted one is not to be read.
    pub(crate) jobs: Vec<NewJob>,
    pub(crate) accepted: Vec<Option<Accepted>>,
    pub(crate) runs: Vec<Run>,
}

/// Jobs that came one after the other, and are of one kind and go to one named queue.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) channel: usize,
    pub(crate) kind: Kind,
    /// The places of those that are not accepted.
    pub(crate) jobs: Range<usize>,
    /// How many bytes are in their payloads.
    pub(crate) bytes: usize,
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

impl Channel {
    /// Accepts the job now, or not at all.
    // The front of it is inlined into the push, and the job stays where it is.
    #[inline]
    pub(crate) fn try_push(&self, core: &Core, job: Submission<'_>) -> Result<Accepted, Refusal> {
        match self.post(core, job.kind, job.content) {
            Some(id) => Ok(Accepted::Now(id)),
            None => self.push_now(core, job),
        }
    }

    fn push_now(&self, core: &Core, job: Submission<'_>) -> Result<Accepted, Refusal> {
        self.with_inbox(core, |state, ids, effects| {
            self.admit(state, job.content.payload.len())?;
            Ok(self.accept(core, state, ids, job, effects))
        })
    }

    /// Accepts the job now, or joins the line and has `waker` woken when it is this one's turn.
    #[inline]
    pub(crate) fn poll_push(
        &self,
        core: &Core,
        job: Submission<'_>,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<Accepted, Refusal>> {
        if ticket.is_none()
            && let Some(id) = self.post(core, job.kind, job.content)
        {
            return Poll::Ready(Ok(Accepted::Now(id)));
        }
        self.push_or_wait(core, job, ticket, waker)
    }

    fn push_or_wait(
        &self,
        core: &Core,
        job: Submission<'_>,
        ticket: &mut Option<Ticket>,
        waker: &Waker,
    ) -> Poll<Result<Accepted, Refusal>> {
        self.with_inbox(core, |state, ids, effects| {
            let bytes = job.content.payload.len();
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
            Poll::Ready(admission.map(|()| self.accept(core, state, ids, job, effects)))
        })
    }

    /// A push that waited is dropped: its place, or its grant, goes to the next.
    pub(crate) fn leave_line(&self, core: &Core, ticket: Ticket) {
        self.with(core, |state, effects| {
            state.waiters.leave(ticket);
            self.grant_room(state, effects);
        });
    }

    /// Accepts the jobs of some runs in order as far as there is room, under one lock and with one wake decision. Says how
    /// many, and what the first one that was not accepted was refused for. There are `count` of them, with no more than
    /// `bytes` in their payloads.
    pub(crate) fn push_batch(
        &self,
        core: &Core,
        Submissions { jobs, accepted, runs }: &mut Submissions,
        some: Range<usize>,
        (count, bytes): (usize, usize),
    ) -> (usize, Result<(), Refusal>) {
        self.with_inbox(core, |state, ids, effects| {
            let (mut pushed, mut answer) = (0, Ok(()));
            let before = state.store.counts().ready;
            // If all of them fit, nobody is asked again for each.
            let fit = !core.is_durable() && self.admit_all(state, count, bytes);
            'all: for run in &runs[some] {
                let (jobs, accepted) = (&mut jobs[run.jobs.clone()], &mut accepted[run.jobs.clone()]);
                for (NewJob { kind, content }, accepted) in jobs.iter_mut().zip(accepted) {
                    if !fit {
                        answer = self.admit(state, content.payload.len());
                        if answer.is_err() {
                            break 'all;
                        }
                    }
                    let job = Submission { kind: run.kind, name: kind, content };
                    *accepted = Some(if core.is_durable() {
                        self.write(core, state, &job)
                    } else {
                        Accepted::Now(self.insert(core, state, ids, job, effects))
                    });
                    pushed += 1;
                }
            }
            let added = state.store.counts().ready - before;
            self.wake_workers(state, added, effects);
            self.publish(core, state, effects);
            (pushed, answer)
        })
    }

    #[inline]
    fn post(&self, core: &Core, kind: Kind, content: &mut Content) -> Option<JobId> {
        if !is_plain(kind, content) || core.events.any() || core.is_durable() {
            return None;
        }
        self.inbox.post(kind, content, &core.numbers)
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
        job: Submission<'_>,
        effects: &mut Effects,
    ) -> Accepted {
        if core.is_durable() {
            return self.write(core, state, &job);
        }
        let delayed = job.content.options.delay.is_some();
        let id = self.insert(core, state, ids, job, effects);
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
        job: Submission<'_>,
        effects: &mut Effects,
    ) -> JobId {
        let id = ids.next(&core.numbers);
        let name = job.name;
        if is_plain(job.kind, job.content) {
            let Content { payload, options } = job.content;
            state.store.push_plain(id, job.kind, options.priority, payload);
        } else {
            let when = job.when(core);
            state.store.push(job.entry(id), when);
        }
        core.record(effects, || Event::Pushed(self.info(id, Name::from(name), 0)));
        id
    }
}

/// Whether it is ready at once and brings nothing of its own.
fn is_plain(kind: Kind, content: &Content) -> bool {
    kind != Kind::UNKNOWN && content.options.are_plain()
}
