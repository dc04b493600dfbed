//! What is known of one job.

use std::time::{Duration, Instant};

use queue_core::{DeadReason, JobId};

use super::bounds::{RETRIES, RETRY_DELAY};

#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) queue: usize,
    pub(super) retries: u32,
    pub(super) retry_delay: Duration,
    /// What the push asks for.
    pub(super) delay: Duration,
    /// No handler knows its kind.
    pub(super) is_unknown: bool,
    /// Who pushes it, and how urgent it is, if it goes to the back of a lane at once.
    pub(super) line: Option<(usize, u8)>,
    /// Runs in all of its lives, in this queue and the ones before.
    pub(super) runs: u32,
    pub(super) life: Life,
}

/// What is known of a job in one queue.
#[derive(Clone, Debug)]
pub(super) struct Life {
    pub(super) id: Option<JobId>,
    /// The number that the next attempt has to have.
    pub(super) attempt: u32,
    /// When it may start.
    pub(super) not_before: Instant,
    pub(super) is_live: bool,
    pub(super) last: Option<Answer>,
    pub(super) end: Option<End>,
    /// Somebody asked it to stop, or may have: a failure may have been the end of it.
    pub(super) is_asked: bool,
    /// It may get another life.
    pub(super) is_requeued: bool,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Failed(Option<Duration>),
    Snoozed(Duration),
    Discarded,
    Cancelled,
    /// It was dropped without an answer: its time was over, or it was interrupted.
    Dropped,
}

/// Why a job does not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Succeeded,
    Cancelled,
    /// Cancelled while it waited.
    Removed,
    /// Given back by the push.
    Refused,
    /// Its push was dropped while it waited for room.
    Withdrawn,
    Dead(DeadReason),
}

impl Record {
    pub(super) fn new(queue: usize) -> Self {
        Self {
            queue,
            retries: RETRIES,
            retry_delay: RETRY_DELAY,
            delay: Duration::ZERO,
            is_unknown: false,
            line: None,
            runs: 0,
            life: Life::new(),
        }
    }

    /// The same job, to be pushed to another queue.
    pub(super) fn reborn(&self, delay: Duration) -> Self {
        Self { delay, line: None, life: Life::new(), ..self.clone() }
    }

    /// Whether the queue may say it is cancelled, and nobody else knows.
    pub(super) fn may_be_cancelled(&self) -> bool {
        let fails = matches!(self.life.last, Some(Answer::Failed(_) | Answer::Snoozed(_) | Answer::Dropped));
        self.life.is_asked && fails
    }

    /// What follows from the answer of its latest run.
    pub(super) fn answered(&mut self, answer: Answer, now: Instant) {
        let life = &mut self.life;
        life.last = Some(answer);
        life.is_live = false;
        match answer {
            Answer::Done => life.end = Some(End::Succeeded),
            Answer::Cancelled => life.end = Some(End::Cancelled),
            Answer::Discarded => life.end = Some(End::Dead(DeadReason::Discarded)),
            Answer::Snoozed(delay) => life.not_before = now + delay,
            Answer::Failed(delay) => {
                let delay = delay.unwrap_or(self.retry_delay);
                life.failed(self.retries, now + delay);
            }
            Answer::Dropped => life.failed(self.retries, now),
        }
    }
}

impl Life {
    #[expect(clippy::disallowed_methods, reason = "the runtimes of the soak go by this clock")]
    fn new() -> Self {
        Self {
            id: None,
            attempt: 0,
            not_before: Instant::now(),
            is_live: false,
            last: None,
            end: None,
            is_asked: false,
            is_requeued: false,
        }
    }

    pub(super) fn has_started(&self) -> bool {
        self.is_live || self.last.is_some()
    }

    fn failed(&mut self, retries: u32, not_before: Instant) {
        if self.attempt >= retries {
            self.end = Some(End::Dead(DeadReason::RetriesExhausted));
        }
        self.attempt += 1;
        self.not_before = not_before;
    }
}
