//! Many pushes: their future and their error.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::current;
use crate::engine::{Accepted, BatchItem, Core, Refusal, Submission, Ticket};
use crate::job::{JobId, Name, NewJob};
use crate::journal::{StoreError, block_on};
use crate::registry::Kind;

/// Many pushes under way; made by [`Handle::push_many`](crate::Handle::push_many).
#[derive(Debug)]
#[must_use = "a push does nothing until it is awaited"]
pub struct PushMany<'a> {
    core: &'a Arc<Core>,
    /// In the order of the groups, and in the order they came within each.
    jobs: Vec<BatchJob>,
    groups: Vec<Group>,
    /// What is wrong, and with the job at which place.
    refused: Option<(usize, Refused)>,
    /// All that is to be accepted was.
    is_pushed: bool,
    /// So many of the jobs were written, or need not be.
    written: usize,
}

/// The jobs that go to the same named queue. A full one does not keep the others waiting.
#[derive(Debug)]
struct Group {
    channel: usize,
    /// The first of its jobs that is not accepted.
    next: usize,
    end: usize,
    /// Payload bytes of all of them.
    bytes: usize,
    ticket: Option<Ticket>,
}

#[derive(Debug)]
struct BatchJob {
    /// Its place in the order they came.
    place: usize,
    kind: Name,
    channel: usize,
    job: Submission,
    accepted: Option<Accepted>,
}

#[derive(Clone, Debug)]
enum Refused {
    By(Refusal),
    UnknownQueue,
    NotStorable,
    Store(StoreError),
}

impl BatchJob {
    fn id(&self) -> Option<JobId> {
        match self.accepted {
            Some(Accepted::Now(id)) => Some(id),
            Some(Accepted::Once(_)) | None => None,
        }
    }
}

impl<'a> PushMany<'a> {
    pub(crate) fn new(core: &'a Arc<Core>, new: impl Iterator<Item = NewJob>) -> Self {
        let mut refused = None;
        let mut jobs: Vec<BatchJob> = Vec::with_capacity(new.size_hint().0);
        let mut groups: Vec<Group> = Vec::new();
        let mut last = (Kind::UNKNOWN, 0);
        for (place, NewJob { kind, payload, options }) in new.enumerate() {
            if jobs.last().is_none_or(|before| before.kind != kind) {
                last = core.find_kind(&kind);
            }
            let (number, home) = last;
            let channel = options.queue().map_or(Some(home), |name| core.index_of(name));
            if channel.is_none() {
                refused.get_or_insert((place, Refused::UnknownQueue));
            }
            let channel = channel.unwrap_or(home);
            if payload.len() > core.channel(channel).config().capacity_bytes {
                refused.get_or_insert((place, Refused::By(Refusal::TooLarge)));
            }
            if core.is_durable() && !options.is_storable() {
                refused.get_or_insert((place, Refused::NotStorable));
            }
            join(&mut groups, channel, payload.len());
            let job = Submission { kind: number, payload, options };
            jobs.push(BatchJob { place, kind, channel, job, accepted: None });
        }
        // To sort what is sorted would allocate as much again.
        if !groups.is_sorted_by(|one, next| one.channel < next.channel) {
            jobs.sort_by_key(|job| job.channel);
            groups.clear();
            for job in &jobs {
                join(&mut groups, job.channel, job.job.payload.len());
            }
        }
        Self { core, jobs, groups, refused, is_pushed: false, written: 0 }
    }

    /// Pushes what there is room for now, without awaiting. With a durable store it blocks the thread until the jobs are
    /// written.
    ///
    /// # Errors
    ///
    /// [`PushManyError`] when it was not all.
    pub fn try_push(mut self) -> Result<Vec<JobId>, PushManyError> {
        self.push_now();
        self.core.flush();
        block_on(|cx| self.poll_written(cx));
        self.finish()
    }

    fn push_now(&mut self) {
        if self.refused.is_some() {
            return;
        }
        for group in &mut self.groups {
            let pushed = group.push(self.core, &mut self.jobs);
            if let (Err(refusal), None) = (pushed, &self.refused) {
                self.refused = Some((self.jobs[group.next].place, Refused::By(refusal)));
            }
        }
    }

    /// Pushes all, as there is room, unless something is wrong.
    fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.refused.is_some() || self.is_pushed {
            return Poll::Ready(());
        }
        if current::job_of(self.core).is_some() {
            self.push_now();
            return Poll::Ready(());
        }
        let mut is_pending = false;
        for group in &mut self.groups {
            match group.poll_push(self.core, &mut self.jobs, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(refusal)) => {
                    self.refused = Some((self.jobs[group.next].place, Refused::By(refusal)));
                    return Poll::Ready(());
                }
                Poll::Pending => is_pending = true,
            }
        }
        if is_pending { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Waits until those that were accepted are written, or could not be.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.core.is_durable() {
            return Poll::Ready(());
        }
        for job in &mut self.jobs[self.written..] {
            if let Some(Accepted::Once(receipt)) = &job.accepted {
                match ready!(receipt.poll(cx)) {
                    Ok(id) => job.accepted = Some(Accepted::Now(id)),
                    Err(error) => {
                        job.accepted = None;
                        self.refused.get_or_insert((job.place, Refused::Store(error)));
                    }
                }
            }
            self.written += 1;
        }
        Poll::Ready(())
    }

    fn finish(&mut self) -> Result<Vec<JobId>, PushManyError> {
        match self.refused.take() {
            None => Ok(self.ids()),
            Some((culprit, reason)) => Err(self.fail(culprit, reason)),
        }
    }

    fn ids(&mut self) -> Vec<JobId> {
        if self.groups.len() > 1 {
            self.jobs.sort_by_key(|job| job.place);
        }
        let mut ids = Vec::with_capacity(self.jobs.len());
        ids.extend(self.jobs.iter().filter_map(BatchJob::id));
        ids
    }

    /// `culprit`: the place of the job that `reason` is about.
    fn fail(&mut self, culprit: usize, reason: Refused) -> PushManyError {
        let accepted = self.ids();
        let mut refused = Vec::new();
        let mut first = 0;
        for item in self.jobs.iter_mut().filter(|item| item.accepted.is_none()) {
            if item.place == culprit {
                first = refused.len();
            }
            refused.push(item.job.take(item.kind.clone()));
        }
        self.jobs.clear();
        PushManyError { accepted, refused, first, reason }
    }
}

impl Future for PushMany<'_> {
    type Output = Result<Vec<JobId>, PushManyError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(self.poll_push(cx));
        self.is_pushed = true;
        ready!(self.poll_written(cx));
        Poll::Ready(self.finish())
    }
}

impl Drop for PushMany<'_> {
    fn drop(&mut self) {
        for group in &self.groups {
            if let Some(ticket) = group.ticket {
                self.core.channel(group.channel).leave_line(self.core, ticket);
            }
        }
    }
}

/// Counts the next job to the last group, or to one of its own.
fn join(groups: &mut Vec<Group>, channel: usize, bytes: usize) {
    match groups.last_mut() {
        Some(group) if group.channel == channel => {
            group.end += 1;
            group.bytes = group.bytes.saturating_add(bytes);
        }
        last => {
            let next = last.map_or(0, |group| group.end);
            groups.push(Group { channel, next, end: next + 1, bytes, ticket: None });
        }
    }
}

impl Group {
    /// Pushes as far as there is room.
    fn push(&mut self, core: &Arc<Core>, jobs: &mut [BatchJob]) -> Result<(), Refusal> {
        let rest = &mut jobs[self.next..self.end];
        let items = rest.iter_mut().map(|BatchJob { kind, job, accepted, .. }| BatchItem {
            name: kind,
            job,
            accepted,
        });
        let (pushed, answer) = core.channel(self.channel).push_batch(core, items, self.bytes);
        self.next += pushed;
        answer
    }

    /// Pushes all of them, waiting for room in turn: with a ticket, the next job waits in line, and the others go on after
    /// it.
    fn poll_push(
        &mut self,
        core: &Arc<Core>,
        jobs: &mut [BatchJob],
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        while self.next < self.end {
            if self.ticket.is_none() {
                match self.push(core, jobs) {
                    Ok(()) => break,
                    Err(Refusal::Full) => {}
                    Err(refusal) => return Poll::Ready(Err(refusal)),
                }
            }
            let next = &mut jobs[self.next];
            let channel = core.channel(self.channel);
            let polled = channel.poll_push(core, &next.kind, &mut next.job, &mut self.ticket, cx.waker());
            next.accepted = Some(ready!(polled)?);
            self.next += 1;
        }
        Poll::Ready(Ok(()))
    }
}

/// Not all jobs of a batch were accepted. The others are given back: nothing is lost.
#[derive(Debug)]
pub struct PushManyError {
    accepted: Vec<JobId>,
    refused: Vec<NewJob>,
    /// Which of the refused ones the reason is about.
    first: usize,
    reason: Refused,
}

impl PushManyError {
    /// The numbers of the jobs that were accepted, in the order in which they came.
    #[must_use]
    pub fn accepted(&self) -> &[JobId] {
        &self.accepted
    }

    /// The jobs that were not, in the order in which they came.
    #[must_use]
    pub fn refused(&self) -> &[NewJob] {
        &self.refused
    }

    /// The jobs that were not accepted, to push again or to keep.
    #[must_use]
    pub fn into_refused(self) -> Vec<NewJob> {
        self.refused
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.reason, Refused::By(Refusal::Full))
    }

    /// Whether the queue takes no more jobs.
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        matches!(self.reason, Refused::By(Refusal::ShutDown))
    }
}

impl fmt::Display for PushManyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (refused, all) = (self.refused.len(), self.refused.len() + self.accepted.len());
        write!(f, "{refused} of {all} jobs were not accepted: ")?;
        let job = self.refused.get(self.first);
        match &self.reason {
            Refused::By(Refusal::Full) => {
                f.write_str("the queue is full; await `push_many` or try again later")
            }
            Refused::By(Refusal::ShutDown) => f.write_str("the queue is shut down"),
            Refused::By(Refusal::TooLarge) => {
                let bytes = job.map_or(0, |job| job.payload.len());
                write!(f, "a payload of {bytes} bytes is larger than `capacity_bytes`")
            }
            Refused::UnknownQueue => {
                let name = job.and_then(|job| job.options.queue()).map_or("", Name::as_str);
                write!(f, "there is no queue named {name:?}; add it with `builder.queue(..)`")
            }
            Refused::NotStorable => {
                f.write_str("a custom retry policy cannot be stored; set it for the kind instead")
            }
            Refused::Store(_) => f.write_str("they could not be written to the store"),
        }
    }
}

impl Error for PushManyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.reason {
            Refused::Store(error) => Some(error),
            Refused::By(_) | Refused::UnknownQueue | Refused::NotStorable => None,
        }
    }
}
