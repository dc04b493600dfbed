//! What this machine has in hand: jobs, and the leases on them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::types::{ClaimToken, ClaimedJob, LeaseId};
use crate::job::JobId;

/// Jobs in hand, by number, and the leases that they are held by.
#[derive(Debug, Default)]
pub(super) struct Hand {
    jobs: BTreeMap<JobId, InHand>,
    leases: BTreeMap<LeaseId, Tenure>,
}

#[derive(Debug)]
struct InHand {
    token: ClaimToken,
    standing: Standing,
    /// The job was claimed again, because the lease on this attempt is lost; the new attempt has to wait until the old one
    /// has stopped.
    next: Option<(usize, ClaimedJob)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It waits or runs here.
    Here,
    /// It has ended here, and the store is being told.
    Ended,
    /// Its lease is lost, and it has not stopped here yet.
    Lost,
}

/// How long a lease lasts.
#[derive(Clone, Copy, Debug)]
struct Tenure {
    /// Asked for, or extended, at this time.
    since: Instant,
    /// It may have expired from then on: as seen from here, which is before the store sees it so.
    until: Instant,
}

/// What a job that was claimed is to do.
#[derive(Debug)]
pub(super) enum Arrival {
    Start(ClaimedJob),
    /// An older attempt of it has to stop first.
    Later,
    /// It is here already.
    Known,
}

impl Hand {
    /// A lease was given that was asked for at `since`.
    pub(super) fn take_lease(&mut self, lease: LeaseId, since: Instant, lasts: Duration) {
        self.leases.insert(lease, Tenure { since, until: since.checked_add(lasts).unwrap_or(since) });
    }

    /// A lease was extended that was asked for at `since`.
    pub(super) fn extend_lease(&mut self, lease: LeaseId, since: Instant, lasts: Duration) {
        if self.leases.contains_key(&lease) {
            self.take_lease(lease, since, lasts);
        }
    }

    /// A job was claimed, for a channel.
    pub(super) fn take(&mut self, channel: usize, job: ClaimedJob) -> Arrival {
        let token = job.token;
        match self.jobs.get_mut(&token.id) {
            None => {
                self.jobs.insert(token.id, InHand { token, standing: Standing::Here, next: None });
                Arrival::Start(job)
            }
            Some(known) if known.token.run >= token.run => Arrival::Known,
            Some(known) => {
                if known.standing == Standing::Here {
                    known.standing = Standing::Lost;
                }
                known.next = Some((channel, job));
                Arrival::Later
            }
        }
    }

    /// An attempt has ended here. `None`: its lease is lost, there is nothing to settle.
    pub(super) fn end(&mut self, id: JobId) -> Option<ClaimToken> {
        let job = self.jobs.get_mut(&id)?;
        if job.standing == Standing::Lost {
            return None;
        }
        job.standing = Standing::Ended;
        Some(job.token)
    }

    /// A job is over with, settled or not. Gives the attempt that waited for it.
    pub(super) fn let_go(&mut self, id: JobId) -> Option<(usize, ClaimedJob)> {
        let next = self.jobs.remove(&id)?.next;
        if let Some((_, job)) = &next {
            let token = job.token;
            self.jobs.insert(id, InHand { token, standing: Standing::Here, next: None });
        }
        next
    }

    /// A lease is lost. Gives the jobs that have to stop.
    pub(super) fn lose(&mut self, lease: LeaseId) -> Vec<JobId> {
        self.leases.remove(&lease);
        let mut stop = Vec::new();
        for (id, job) in &mut self.jobs {
            job.next.take_if(|(_, next)| next.token.lease == lease);
            if job.token.lease == lease && job.standing == Standing::Here {
                job.standing = Standing::Lost;
                stop.push(*id);
            }
        }
        stop
    }

    /// Leases without a job are let go of; those that were not extended for `age` are to be.
    pub(super) fn old_leases(&mut self, now: Instant, age: Duration) -> Vec<LeaseId> {
        let Self { jobs, leases } = self;
        leases.retain(|lease, _| holds(jobs, *lease));
        let is_old = |tenure: &Tenure| now.saturating_duration_since(tenure.since) >= age;
        leases.iter().filter(|(_, tenure)| is_old(tenure)).map(|(lease, _)| *lease).collect()
    }

    /// Leases that may have expired.
    pub(super) fn lapsed(&self, now: Instant) -> Vec<LeaseId> {
        self.leases.iter().filter(|(_, tenure)| tenure.until <= now).map(|(lease, _)| *lease).collect()
    }

    /// When the first of the leases was extended, and when the first expires.
    pub(super) fn oldest(&self) -> Option<(Instant, Instant)> {
        let since = self.leases.values().map(|tenure| tenure.since).min()?;
        Some((since, self.leases.values().map(|tenure| tenure.until).min()?))
    }

    /// Everything that is to be given back when the queue is closed.
    pub(super) fn rest(&mut self) -> Vec<ClaimToken> {
        let jobs = std::mem::take(&mut self.jobs).into_values();
        let tokens = jobs.flat_map(|job| {
            let own = (job.standing == Standing::Here).then_some(job.token);
            own.into_iter().chain(job.next.map(|(_, next)| next.token))
        });
        tokens.collect()
    }
}

fn holds(jobs: &BTreeMap<JobId, InHand>, lease: LeaseId) -> bool {
    jobs.values().any(|job| {
        let next = job.next.as_ref().map(|(_, next)| next.token.lease);
        (job.token.lease == lease && job.standing != Standing::Lost) || next == Some(lease)
    })
}
