//! Many pushes: their future and their error.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::current;
use crate::engine::{Accepted, Core, Refusal, Run, Submission, Submissions, Ticket};
use crate::job::{JobId, Name, NewJob};
use crate::journal::{StoreError, block_on};
use crate::registry::Kind;

/// Many pushes under way; made by [`Handle::push_many`](crate::Handle::push_many).
#[derive(Debug)]
#[must_use = "a push does nothing until it is awaited"]
pub struct PushMany<'a> {
    core: &'a Arc<Core>,
    /// Its runs are in the order of the groups, and in the order they came within each.
    all: Submissions,
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
    /// Those with jobs that are not accepted.
    runs: Range<usize>,
    /// How many these are.
    left: usize,
    /// Payload bytes of all of them.
    bytes: usize,
    ticket: Option<Ticket>,
}

#[derive(Clone, Debug)]
enum Refused {
    By(Refusal),
    UnknownQueue,
    NotStorable,
    Store(StoreError),
}

impl<'a> PushMany<'a> {
    pub(crate) fn new(core: &'a Arc<Core>, new: impl Iterator<Item = NewJob>) -> Self {
        // What comes from a vector stays where it is.
        let jobs: Vec<NewJob> = new.collect();
        let (mut runs, refused) = find_runs(core, &jobs);
        runs.sort_by_key(|run| run.channel);
        let groups = find_groups(&runs);
        let mut accepted = Vec::new();
        accepted.resize_with(jobs.len(), || None);
        let all = Submissions { jobs, accepted, runs };
        Self { core, all, groups, refused, is_pushed: false, written: 0 }
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
            if let Err(refusal) = group.push(self.core, &mut self.all) {
                self.refused.get_or_insert((group.next(&self.all), Refused::By(refusal)));
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
            match group.poll_push(self.core, &mut self.all, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(refusal)) => {
                    self.refused = Some((group.next(&self.all), Refused::By(refusal)));
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
        for accepted in &mut self.all.accepted[self.written..] {
            if let Some(Accepted::Once(receipt)) = accepted {
                match ready!(receipt.poll(cx)) {
                    Ok(id) => *accepted = Some(Accepted::Now(id)),
                    Err(error) => {
                        *accepted = None;
                        self.refused.get_or_insert((self.written, Refused::Store(error)));
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

    fn ids(&self) -> Vec<JobId> {
        let mut ids = Vec::with_capacity(self.all.accepted.len());
        ids.extend(self.all.accepted.iter().filter_map(|accepted| match accepted {
            Some(Accepted::Now(id)) => Some(*id),
            Some(Accepted::Once(_)) | None => None,
        }));
        ids
    }

    fn fail(&mut self, culprit: usize, reason: Refused) -> PushManyError {
        let accepted = self.ids();
        let Submissions { jobs, accepted: which, .. } = &mut self.all;
        let jobs = jobs.drain(..).zip(which.drain(..));
        let refused = jobs.filter_map(|(job, accepted)| accepted.is_none().then_some(job)).collect();
        PushManyError { accepted, refused, culprit, reason }
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

/// Where these jobs go, and what is wrong with the first one that can never be accepted.
fn find_runs(core: &Core, jobs: &[NewJob]) -> (Vec<Run>, Option<(usize, Refused)>) {
    let (mut runs, mut refused): (Vec<Run>, _) = (Vec::new(), None);
    let mut last: Option<(&Name, Kind, usize)> = None;
    for (place, NewJob { kind: name, content }) in jobs.iter().enumerate() {
        let known = last.filter(|(last, ..)| *last == name);
        let (_, kind, home) = known.unwrap_or_else(|| {
            let (kind, home) = core.find_kind(name);
            (name, kind, home)
        });
        last = Some((name, kind, home));
        let channel = content.options.queue().map_or(Some(home), |queue| core.index_of(queue));
        if channel.is_none() {
            refused.get_or_insert((place, Refused::UnknownQueue));
        }
        let (channel, bytes) = (channel.unwrap_or(home), content.payload.len());
        if bytes > core.channel(channel).config().capacity_bytes {
            refused.get_or_insert((place, Refused::By(Refusal::TooLarge)));
        }
        if core.is_durable() && !content.options.is_storable() {
            refused.get_or_insert((place, Refused::NotStorable));
        }
        match runs.last_mut() {
            Some(run) if run.kind == kind && run.channel == channel => {
                run.jobs.end += 1;
                run.bytes = run.bytes.saturating_add(bytes);
            }
            _ => runs.push(Run { channel, kind, jobs: place..place + 1, bytes }),
        }
    }
    (runs, refused)
}

fn find_groups(runs: &[Run]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (place, run) in runs.iter().enumerate() {
        match groups.last_mut() {
            Some(group) if group.channel == run.channel => {
                group.runs.end += 1;
                group.left += run.jobs.len();
                group.bytes = group.bytes.saturating_add(run.bytes);
            }
            _ => {
                let (channel, left, bytes) = (run.channel, run.jobs.len(), run.bytes);
                groups.push(Group { channel, runs: place..place + 1, left, bytes, ticket: None });
            }
        }
    }
    groups
}

impl Group {
    /// The place of the first job that is not accepted. There is one.
    fn next(&self, all: &Submissions) -> usize {
        all.runs[self.runs.start].jobs.start
    }

    /// Pushes as far as there is room.
    fn push(&mut self, core: &Core, all: &mut Submissions) -> Result<(), Refusal> {
        let (channel, size) = (core.channel(self.channel), (self.left, self.bytes));
        let (pushed, answer) = channel.push_batch(core, all, self.runs.clone(), size);
        self.pass(pushed, all);
        answer
    }

    /// So many jobs more are accepted.
    fn pass(&mut self, mut pushed: usize, all: &mut Submissions) {
        self.left -= pushed;
        while pushed > 0 {
            let run = &mut all.runs[self.runs.start];
            let passed = pushed.min(run.jobs.len());
            run.jobs.start += passed;
            self.runs.start += usize::from(run.jobs.is_empty());
            pushed -= passed;
        }
    }

    /// Pushes all of them, waiting for room in turn: with a ticket, the next job waits in line, and the others go on after
    /// it.
    fn poll_push(
        &mut self,
        core: &Core,
        all: &mut Submissions,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Refusal>> {
        while self.left > 0 {
            if self.ticket.is_none() {
                match self.push(core, all) {
                    Ok(()) => break,
                    Err(Refusal::Full) => {}
                    Err(refusal) => return Poll::Ready(Err(refusal)),
                }
            }
            let (next, kind) = (self.next(all), all.runs[self.runs.start].kind);
            let NewJob { kind: name, content } = &mut all.jobs[next];
            let job = Submission { kind, name, content };
            let polled = core.channel(self.channel).poll_push(core, job, &mut self.ticket, cx.waker());
            all.accepted[next] = Some(ready!(polled)?);
            self.pass(1, all);
        }
        Poll::Ready(Ok(()))
    }
}

/// Not all jobs of a batch were accepted. The others are given back: nothing is lost.
#[derive(Debug)]
pub struct PushManyError {
    accepted: Vec<JobId>,
    refused: Vec<NewJob>,
    /// The place of the job that the reason is about. If the reason names it, all were refused.
    culprit: usize,
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
        let job = self.refused.get(self.culprit);
        match &self.reason {
            Refused::By(Refusal::Full) => {
                f.write_str("the queue is full; await `push_many` or try again later")
            }
            Refused::By(Refusal::ShutDown) => f.write_str("the queue is shut down"),
            Refused::By(Refusal::TooLarge) => {
                let bytes = job.map_or(0, |job| job.payload().len());
                write!(f, "a payload of {bytes} bytes is larger than `capacity_bytes`")
            }
            Refused::UnknownQueue => {
                let name = job.and_then(|job| job.content.options.queue()).map_or("", Name::as_str);
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
