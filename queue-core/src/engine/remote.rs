//! The queue's side of a remote store: what it hands out comes in, and what is not this machine's any more goes.

use std::sync::Arc;

use super::channel::{Channel, ChannelState};
use super::closing::Phase;
use super::{Core, Effects};
use crate::job::JobId;
use crate::journal::{Change, Record, Recovered, RecoveredMore};
use crate::progress::Signal;
use crate::remote::{ClaimedJob, Pump};

impl Core {
    /// What feeds this queue, if its jobs are in a remote store.
    pub(crate) fn pump(&self) -> Option<&Arc<Pump>> {
        self.durable.as_ref()?.pump.as_ref()
    }

    /// Whether another store decides what this one may run.
    pub(super) fn is_remote(&self) -> bool {
        self.pump().is_some()
    }

    /// Takes in jobs of which this machine has the lease, each with its channel.
    pub(crate) fn deliver(&self, jobs: Vec<(usize, ClaimedJob)>) {
        let (now, time) = (self.now(), self.store_time());
        for (index, job) in jobs {
            let kind = self.add_kind(&job.kind, None);
            let channel = self.channel(index);
            channel.with(self, |state, effects| {
                let id = job.token.id;
                if state.phase != Phase::Open || state.paused {
                    give_back(state, id);
                    return;
                }
                let job = recovered(channel, job);
                state.recover(job, kind, now, time);
                channel.wake_workers(state, 1, effects);
            });
        }
    }

    /// Stops jobs whose lease is lost: those that run are interrupted, and those that wait are let go of; says which.
    pub(crate) fn stop(&self, ids: &[JobId]) -> Vec<JobId> {
        let mut gone = Vec::new();
        for channel in self.channels().iter().filter(|_| !ids.is_empty()) {
            channel.with(self, |state, effects| {
                for id in ids {
                    if let Some((worker, _)) = state.store.worker_of(*id) {
                        effects.tell(state.seats.raise(worker, Signal::Stop));
                    } else if let Some(remains) = state.store.take(*id) {
                        effects.drop_remains(remains);
                        gone.push(*id);
                    }
                }
            });
        }
        gone
    }

    /// Somebody else cancelled a job that is here.
    pub(crate) fn cancel_here(&self, id: JobId) {
        for channel in self.channels() {
            channel.cancel(self, id);
        }
    }
}

impl Channel {
    /// How many more jobs could be started.
    pub(super) fn room(&self, state: &ChannelState) -> usize {
        if state.phase != Phase::Open || state.paused {
            return 0;
        }
        let workers = self.config.limit.min(state.seats.taken());
        workers.saturating_sub(state.busy + state.store.counts().ready)
    }
}

/// What was handed out to this machine and has not begun goes back, for others to run.
pub(super) fn give_ready_back(state: &mut ChannelState, effects: &mut Effects) {
    for remains in state.store.take_ready() {
        give_back(state, remains.id);
        effects.drop_remains(remains);
    }
}

/// Records that this job is not run here.
pub(super) fn give_back(state: &mut ChannelState, id: JobId) {
    if let Some(log) = &mut state.store.log {
        log.changes.push(Change::new(Record::Interrupted { id }));
    }
}

fn recovered(channel: &Channel, job: ClaimedJob) -> Recovered {
    let ClaimedJob { token, kind, priority, attempt, payload, options } = job;
    let more = options.map(|options| Box::new(RecoveredMore { options: Some(options), history: Vec::new() }));
    Recovered {
        id: token.id,
        queue: channel.name().clone(),
        kind,
        priority,
        attempt,
        due: None,
        payload: Ok(payload),
        more,
    }
}
