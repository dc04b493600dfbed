//! What comes from the store: jobs, as many as there are free workers.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use super::Feeder;
use crate::job::{JobId, Name};
use crate::remote::Reply;
use crate::remote::hand::Arrival;
use crate::remote::types::{ClaimRequest, Claimed, ClaimedJob, LeaseId, Wake};

/// What comes in for one channel.
pub(super) struct Inlet {
    pub(super) name: Name,
    pub(super) room: usize,
    /// It is worth asking from then on.
    pub(super) ask_at: Instant,
    pub(super) asked: Option<Asked>,
}

pub(super) struct Asked {
    request: ClaimRequest,
    at: Instant,
    /// Something came in since: its answer may not know of that.
    is_outdated: bool,
    /// `None` after a failure: it is asked again.
    pub(super) reply: Option<Reply<Claimed>>,
}

/// A claim asks for no more payload at once.
const MAX_BYTES: usize = 16 << 20;

impl Feeder {
    /// Hands out what was claimed, and asks for more.
    pub(super) fn claim(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        for index in 0..self.channels.len() {
            let may_ask = self.may_ask(now);
            let inlet = &mut self.channels[index];
            if let Some(asked) = &mut inlet.asked {
                let Some(reply) = &mut asked.reply else {
                    // Asked again even when the queue is closed: it may have got jobs, which are then handed back.
                    if may_ask {
                        asked.at = now;
                        asked.reply = Some(self.store.claim(asked.request.clone()));
                        moved = true;
                    }
                    continue;
                };
                let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { continue };
                moved = true;
                match answer {
                    Ok(claimed) => self.claimed(index, claimed, now),
                    Err(error) => {
                        asked.reply = None;
                        self.failed(now, &error);
                    }
                }
            } else if may_ask && self.closed_at.is_none() && inlet.room > 0 && inlet.ask_at <= now {
                let request = ClaimRequest {
                    lease: LeaseId(self.random.u64(..)),
                    queue: inlet.name.clone(),
                    max: inlet.room,
                    max_bytes: MAX_BYTES,
                    lasts: self.lease,
                };
                let reply = self.store.claim(request.clone());
                self.channels[index].asked =
                    Some(Asked { request, at: now, is_outdated: false, reply: Some(reply) });
                moved = true;
            }
        }
        moved
    }

    pub(super) fn claimed(&mut self, index: usize, claimed: Claimed, now: Instant) {
        self.succeeded();
        let inlet = &mut self.channels[index];
        let Some(asked) = inlet.asked.take() else { return };
        let idle = if claimed.is_paused {
            self.poll
        } else {
            claimed.next_due.map_or(self.poll, |due| due.min(self.poll))
        };
        inlet.ask_at =
            if claimed.more || asked.is_outdated { now } else { now.checked_add(idle).unwrap_or(now) };
        if claimed.jobs.is_empty() {
            return;
        }
        self.hand.take_lease(asked.request.lease, asked.at, claimed.lasts);
        let mut start = Vec::with_capacity(claimed.jobs.len());
        let mut stop = Vec::new();
        for job in claimed.jobs {
            let id = job.token.id;
            match self.hand.take(index, job) {
                Arrival::Start(job) => start.push((index, job)),
                Arrival::Later => stop.push(id),
                Arrival::Known => {}
            }
        }
        self.deliver(start);
        self.stop(&stop);
    }

    pub(super) fn deliver(&mut self, jobs: Vec<(usize, ClaimedJob)>) {
        if let Some(core) = self.core.upgrade() {
            core.deliver(jobs);
        }
    }

    /// A job is over with; an attempt that waited for that begins.
    pub(super) fn let_go(&mut self, id: JobId) {
        let next = self.hand.let_go(id);
        self.deliver(next.into_iter().collect());
    }

    /// Waits for hints that there is something to claim.
    pub(super) fn listen(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(reply) = &mut self.waking else {
            let wanting = self.channels.iter().filter(|inlet| inlet.room > 0);
            let names: Vec<_> = wanting.map(|inlet| inlet.name.clone()).collect();
            if names.is_empty() || self.wake_at.is_some_and(|at| now < at) {
                return false;
            }
            self.waking = Some(self.store.wake(names));
            return true;
        };
        let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { return false };
        self.waking = None;
        if let Ok(Wake::Maybe) = answer {
            self.wake_at = None;
            self.ask(now);
        } else {
            // It polls meanwhile.
            self.wake_at = now.checked_add(self.poll);
        }
        true
    }

    /// Whether it could start something.
    pub(super) fn wants(&self) -> bool {
        self.channels.iter().any(|inlet| inlet.room > 0)
    }

    /// There may be something to claim.
    pub(super) fn ask(&mut self, now: Instant) {
        for inlet in &mut self.channels {
            inlet.ask_at = inlet.ask_at.min(now);
            if let Some(asked) = &mut inlet.asked {
                asked.is_outdated = true;
            }
        }
    }
}
