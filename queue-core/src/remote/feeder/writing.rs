//! What goes to the store: pushes and settles, one batch at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Feeder;
use crate::job::JobId;
use crate::journal::{Change, Due, JobRecord, Record, StoreError, StoreFault};
use crate::remote::Reply;
use crate::remote::types::{PushAnswer, PushRequest, SettleAnswer, Settlement, Transition};

#[derive(Default)]
pub(super) struct Writing {
    fresh: Vec<Change>,
    batch: Option<Batch>,
}

/// Changes that are on their way, or wait to be sent again.
struct Batch {
    changes: Vec<Change>,
    pushes: Half<PushAnswer>,
    settles: Half<SettleAnswer>,
    /// The jobs that `settles` is about.
    ended: Vec<JobId>,
    is_sent: bool,
    failures: u32,
}

enum Half<T> {
    Asked(Reply<Vec<T>>),
    Answered(Result<Vec<T>, StoreError>),
    /// There was nothing to ask.
    Nothing,
}

/// A push that is in doubt is tried this often before it goes back to who pushed it.
const TRIES: u32 = 3;
/// A failure may be a message that got lost; from the second in a row on, the store is out.
pub(super) const OUTAGE: u32 = 2;

impl Writing {
    pub(super) fn append(&mut self, changes: &mut Vec<Change>) {
        self.fresh.append(changes);
    }

    pub(super) fn is_over(&self) -> bool {
        self.fresh.is_empty() && self.batch.is_none()
    }

    /// Whether something is to be sent again.
    pub(super) fn waits(&self) -> bool {
        self.batch.as_ref().is_some_and(|batch| !batch.is_sent)
    }
}

impl<T> Half<T> {
    fn is_asked(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        if let Self::Asked(reply) = self {
            let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { return false };
            *self = Self::Answered(answer);
        }
        true
    }

    fn into_answer(self) -> Result<Vec<T>, StoreError> {
        match self {
            Self::Answered(answer) => answer,
            Self::Asked(_) | Self::Nothing => Ok(Vec::new()),
        }
    }
}

impl Feeder {
    pub(super) fn write(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let may_ask = self.may_ask(now);
        if self.failures >= OUTAGE && !may_ask {
            // Pushes do not wait for the end of an outage.
            self.sink.failed(&mut self.writing.fresh, &StoreError::new(StoreFault::Unreachable, "it is out"));
        }
        match &mut self.writing.batch {
            Some(batch) if batch.is_sent => {
                // Both are polled, so that either wakes.
                let (pushes, settles) = (batch.pushes.poll(cx), batch.settles.poll(cx));
                let is_answered = pushes && settles;
                if is_answered && let Some(batch) = self.writing.batch.take() {
                    self.answered(now, batch);
                }
                is_answered
            }
            Some(batch) => {
                if !may_ask {
                    return false;
                }
                let (changes, failures) = (std::mem::take(&mut batch.changes), batch.failures);
                self.send(changes, failures)
            }
            None if self.writing.fresh.is_empty() => false,
            None => {
                let changes = std::mem::take(&mut self.writing.fresh);
                self.send(changes, 0)
            }
        }
    }

    /// Sends changes. What asks the store nothing, and is only told of, is not told of during an outage: false.
    fn send(&mut self, changes: Vec<Change>, failures: u32) -> bool {
        let (mut pushes, mut settlements) = (Vec::new(), Vec::new());
        for record in changes.iter().filter_map(Change::record) {
            if let Record::Pushed(job) = record {
                pushes.push(self.push_request(job));
            } else if let Some((id, transition)) = self.transition(record)
                && let Some(token) = self.hand.end(id)
            {
                settlements.push(Settlement { token, transition });
            }
        }
        let is_sent = !(pushes.is_empty() && settlements.is_empty() && self.failures >= OUTAGE);
        let ended = settlements.iter().map(|settlement| settlement.token.id).collect();
        let pushes = if pushes.is_empty() { Half::Nothing } else { Half::Asked(self.store.push(pushes)) };
        let settles =
            if settlements.is_empty() { Half::Nothing } else { Half::Asked(self.store.settle(settlements)) };
        self.writing.batch = Some(Batch { changes, pushes, settles, ended, is_sent, failures });
        is_sent
    }

    fn answered(&mut self, now: Instant, batch: Batch) {
        let Batch { changes, pushes, settles, ended, failures, .. } = batch;
        let is_asked = pushes.is_asked() || settles.is_asked();
        let (pushes, settles) = (pushes.into_answer(), settles.into_answer());
        let error = pushes.as_ref().err().or(settles.as_ref().err()).cloned();
        let is_settled = settles.is_ok();
        let lost = if let Ok(answers) = settles {
            self.settled(&changes, &ended, &answers, failures)
        } else {
            BTreeSet::new()
        };

        let mut answers = pushes.ok().map(Vec::into_iter);
        let (mut done, mut refused, mut unpushed, mut unsettled) = (vec![], vec![], vec![], vec![]);
        for mut change in changes {
            if matches!(change.record(), Some(Record::Pushed(_))) {
                match answers.as_mut().map(Iterator::next) {
                    Some(Some(PushAnswer::New(id) | PushAnswer::Held(id))) => {
                        change.assign(id);
                        done.push(change);
                    }
                    Some(Some(PushAnswer::Refused(_))) => refused.push(change),
                    Some(None) | None => unpushed.push(change),
                }
            } else if is_settled {
                change.lose(&lost);
                done.push(change);
            } else {
                unsettled.push(change);
            }
        }
        if !refused.is_empty() {
            self.sink.refused(refused, &StoreError::new(StoreFault::Full, "its named queue has no room"));
        }
        if done.iter().any(|change| change.record().is_some_and(waits)) {
            self.ask(now);
        }
        let Some(error) = error else {
            if is_asked {
                self.succeeded();
            }
            self.sink.written(done);
            return;
        };
        if !done.is_empty() {
            self.sink.written(done);
        }
        let failures = failures + 1;
        self.failed(now, &error);
        if failures >= TRIES {
            self.sink.failed(&mut unpushed, &error);
        }
        if self.failures >= OUTAGE {
            self.sink.failed(&mut unsettled, &error);
        }
        unpushed.append(&mut unsettled);
        if !unpushed.is_empty() {
            self.writing.batch = Some(Batch {
                changes: unpushed,
                pushes: Half::Nothing,
                settles: Half::Nothing,
                ended: Vec::new(),
                is_sent: false,
                failures,
            });
        }
    }

    /// Attempts are settled, or it came out that their lease was lost. Says for which it was.
    fn settled(
        &mut self,
        changes: &[Change],
        ended: &[JobId],
        answers: &[SettleAnswer],
        failures: u32,
    ) -> BTreeSet<JobId> {
        let answers: BTreeMap<_, _> = ended.iter().zip(answers).collect();
        let mut lost = BTreeSet::new();
        for record in changes.iter().filter_map(Change::record) {
            let Some(id) = ended_job(record) else { continue };
            match answers.get(&id) {
                Some(SettleAnswer::Applied) => {}
                // It was asked before, and the answer got lost: that one applied.
                Some(SettleAnswer::LeaseLost) if failures > 0 => {}
                Some(SettleAnswer::LeaseLost) | None => {
                    lost.insert(id);
                }
            }
            self.let_go(id);
        }
        lost
    }

    fn push_request(&self, job: &JobRecord) -> PushRequest {
        PushRequest {
            token: self.token_of(job.id),
            queue: job.queue.clone(),
            kind: job.kind.clone(),
            priority: job.priority,
            delay: self.delay(job.due),
            payload: job.payload.clone(),
            options: job.options.clone(),
        }
    }

    /// What a record makes of a job in hand.
    fn transition(&self, record: &Record) -> Option<(JobId, Transition)> {
        let transition = match record {
            Record::Done { .. } => Transition::Done,
            Record::Cancelled { .. } => Transition::Cancel,
            Record::Interrupted { .. } => Transition::HandBack,
            Record::Snoozed { due, .. } => Transition::Snooze { delay: self.delay(*due) },
            Record::Retried { due, failure, .. } => {
                Transition::Retry { delay: self.delay(*due), failure: failure.clone() }
            }
            Record::Died { reason, attempts, failure, .. } => {
                Transition::Bury { reason: *reason, attempts: *attempts, failure: failure.clone() }
            }
            // Claiming it was its start; dead letters are the store's.
            Record::Pushed(_) | Record::Started { .. } | Record::Requeued { .. } | Record::Dropped { .. } => {
                return None;
            }
        };
        ended_job(record).map(|id| (id, transition))
    }

    /// How long it is until then.
    fn delay(&self, due: Option<Due>) -> Duration {
        match due {
            None => Duration::ZERO,
            Some(Due::Never) => Duration::MAX,
            Some(Due::At(at)) => {
                self.sink.time().and_then(|now| at.duration_since(now).ok()).unwrap_or_default()
            }
        }
    }
}

/// Whether its job waits from then on.
fn waits(record: &Record) -> bool {
    matches!(
        record,
        Record::Pushed(_) | Record::Interrupted { .. } | Record::Snoozed { .. } | Record::Retried { .. }
    )
}

/// The job whose attempt has ended with this.
fn ended_job(record: &Record) -> Option<JobId> {
    match record {
        Record::Done { id }
        | Record::Cancelled { id }
        | Record::Interrupted { id }
        | Record::Snoozed { id, .. }
        | Record::Retried { id, .. }
        | Record::Died { id, .. } => Some(*id),
        Record::Pushed(_) | Record::Started { .. } | Record::Requeued { .. } | Record::Dropped { .. } => None,
    }
}
