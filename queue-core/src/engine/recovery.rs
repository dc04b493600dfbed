//! What a queue begins with, when its jobs outlived another process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::Core;
use super::channel::{Channel, ChannelState};
use super::durable::Durable;
use crate::dead::DeadJob;
use crate::job::Name;
use crate::journal::{Due, Recovered, RecoveredDead, RecoveredMore, Recovery, Sink, StoredOptions};
use crate::payload::Payload;
use crate::registry::Kind;
use crate::store::{Dead, Entry, Extras, Log, When};
use crate::sync::Ordering;

impl Core {
    /// Takes in what the journal holds, if there is one. Nothing runs yet, and nobody has a handle.
    pub(crate) fn begin(self: &Arc<Self>) {
        if let Some(durable) = &self.durable {
            self.recover(durable, durable.journal.begin(Sink::new(self)));
        }
    }

    fn recover(&self, durable: &Durable, recovery: Recovery) {
        let Recovery { next_id, time, jobs, dead } = recovery;
        self.numbers.begin(next_id);
        let (now, time) = durable.time.begin(time);
        for channel in self.channels() {
            let log = Log::new(durable.time.clone(), durable.journal.payload_memory());
            channel.state.lock().store.log = Some(Box::new(log));
        }
        let mut homes = BTreeMap::new();
        for dead in dead {
            self.recover_dead(durable, &mut homes, dead);
        }
        for job in jobs.into_iter().flatten() {
            let Some(channel) = self.home(&mut homes, &job.queue) else {
                durable.strays.fetch_add(1, Ordering::Relaxed);
                continue;
            };
            let kind = self.add_kind(&job.kind, None);
            channel.state.lock().recover(job, kind, now, time);
        }
        for channel in self.channels() {
            channel.with(self, |state, effects| channel.publish(self, state, effects));
        }
    }

    fn recover_dead(
        &self,
        durable: &Durable,
        homes: &mut BTreeMap<Name, Option<usize>>,
        dead: RecoveredDead,
    ) {
        let RecoveredDead { id, queue, kind: name, priority, payload, attempts, reason, more } = dead;
        let Some(channel) = self.home(homes, &queue) else {
            durable.strays.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let kind = self.add_kind(&name, None);
        let RecoveredMore { options, history } = more;
        let last = history.last().cloned();
        let job = DeadJob {
            id,
            name,
            queue,
            payload,
            priority,
            attempts,
            error: last.as_ref().map(|failed| failed.error.clone()).unwrap_or_default(),
            reason,
            failed_at: last.map_or(SystemTime::UNIX_EPOCH, |failed| failed.at),
            history,
        };
        let extras = options.map(|StoredOptions(overrides)| {
            Box::new(Extras { overrides: Some(overrides), ..Extras::default() })
        });
        drop(channel.state.lock().store.restore_dead(Dead::new(job, kind, extras)));
    }

    fn home(&self, homes: &mut BTreeMap<Name, Option<usize>>, queue: &Name) -> Option<&Channel> {
        let known = homes.get(queue).copied();
        let index = known.unwrap_or_else(|| {
            let index = self.index_of(queue);
            homes.insert(queue.clone(), index);
            index
        });
        index.map(|index| self.channel(index))
    }
}

impl ChannelState {
    pub(super) fn recover(&mut self, job: Recovered, kind: Kind, now: Instant, time: SystemTime) {
        let payload = job.payload.unwrap_or_else(Payload::absent);
        let mut entry = Entry::new(job.id, kind, job.priority, payload);
        entry.attempt = job.attempt;
        entry.extras = job.more.map(|more| {
            let RecoveredMore { options, history } = *more;
            let overrides = options.map(|StoredOptions(overrides)| overrides);
            Box::new(Extras { name: None, overrides, history })
        });
        let when = match job.due {
            None => When::Now,
            Some(Due::Never) => When::Never,
            Some(Due::At(due)) => {
                due.duration_since(time).map_or(When::Now, |left| When::after(left, || now))
            }
        };
        self.store.push(entry, when);
    }
}
