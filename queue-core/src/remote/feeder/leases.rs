//! What keeps the jobs in hand in hand, and what is done about those that are lost.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Feeder;
use crate::job::JobId;
use crate::remote::types::{ExtendAnswer, LeaseId};

/// How many expired jobs are seen to at once.
const TEND_BUDGET: usize = 1_000;

impl Feeder {
    /// Renews the leases on what is in hand, and stops what may have been lost.
    pub(super) fn heartbeat(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let lapsed = self.hand.lapsed(now);
        let mut moved = !lapsed.is_empty();
        for lease in lapsed {
            self.lose(lease);
        }
        if let Some((leases, since, reply)) = &mut self.extending {
            let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { return moved };
            let (leases, since) = (std::mem::take(leases), *since);
            self.extending = None;
            match answer {
                Ok(answers) => {
                    self.succeeded();
                    for (lease, answer) in leases.into_iter().zip(answers) {
                        self.extended(lease, since, answer);
                    }
                }
                Err(error) => self.failed(now, &error),
            }
            moved = true;
        }
        if self.may_ask(now) {
            let leases = self.hand.old_leases(now, self.lease / 3);
            if !leases.is_empty() {
                let reply = self.store.extend(leases.clone(), self.lease);
                self.extending = Some((leases, now, reply));
                moved = true;
            }
        }
        moved
    }

    pub(super) fn extended(&mut self, lease: LeaseId, since: Instant, answer: ExtendAnswer) {
        match answer {
            ExtendAnswer::Alive { cancelled } => {
                self.hand.extend_lease(lease, since, self.lease);
                if let Some(core) = self.core.upgrade() {
                    for id in cancelled {
                        core.cancel_here(id);
                    }
                }
            }
            ExtendAnswer::Lost => self.lose(lease),
        }
    }

    pub(super) fn lose(&mut self, lease: LeaseId) {
        let stop = self.hand.lose(lease);
        self.stop(&stop);
    }

    /// What waits here is gone at once; what runs is, once it has stopped.
    pub(super) fn stop(&mut self, ids: &[JobId]) {
        let Some(core) = self.core.upgrade() else { return };
        for gone in core.stop(ids) {
            self.let_go(gone);
        }
    }

    /// Looks after the leases of machines that are gone; and, in an outage, whether it is over.
    pub(super) fn tend(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        let Some(reply) = &mut self.tending else {
            let is_time = self.failures > 0 || (self.has_workers() && self.tend_at <= now);
            if is_time && self.may_ask(now) {
                self.tending = Some(self.store.tend(TEND_BUDGET));
            }
            return self.tending.is_some();
        };
        let Poll::Ready(answer) = Pin::new(reply).poll(cx) else { return false };
        self.tending = None;
        match answer {
            Ok(tended) => {
                self.succeeded();
                let wait = if tended.more { Duration::ZERO } else { self.lease / 2 };
                self.tend_at = now.checked_add(wait).unwrap_or(now);
            }
            Err(error) => self.failed(now, &error),
        }
        true
    }
}
