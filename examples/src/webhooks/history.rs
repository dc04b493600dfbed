//! What a [`Logbook`](super::logbook::Logbook) says: several lives of the program as one story.

use std::collections::{BTreeMap, BTreeSet};

use queue_core::JobId;

use super::logbook::Entry;
use super::receivers::Record;
use super::tally::Tally;

/// The sum of all entries, in their order.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// How often the program was started.
    pub lives: u32,
    /// How often it did not come to its end.
    pub kills: u32,
    /// What was accepted: the delivery of each job.
    pub accepted: BTreeMap<JobId, String>,
    /// What the events told, and how many kills each job has lived through.
    pub tally: Tally,
    /// The attempts of each job.
    pub attempts: BTreeMap<JobId, Attempts>,
    /// What the receivers remember, by their names and the deliveries.
    pub books: BTreeMap<String, BTreeMap<String, Record>>,
    pushing: BTreeSet<String>,
    /// How often each delivery was being pushed in a kill: each time may have made a job.
    in_doubt: BTreeMap<String, usize>,
    /// The jobs whose pushes have returned.
    returned: BTreeSet<JobId>,
    is_living: bool,
}

/// The attempts of one job, as its handler saw them begin.
#[derive(Debug, Clone, Default)]
pub struct Attempts {
    /// How many have begun.
    pub begun: u32,
    /// How many of them had begun before under the same number, in an earlier life.
    pub repeated: u32,
    /// The number that the next one should have: how many the queue should have counted.
    pub counted: u32,
    /// The life in which the last one began.
    life: u32,
    /// What no store may do.
    pub problems: Vec<String>,
}

impl History {
    /// Goes on with the story.
    pub fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Born => self.born(),
            Entry::Over => self.is_living = false,
            Entry::Pushing { delivery } => {
                self.pushing.insert(delivery);
            }
            Entry::Accepted { delivery, job } => {
                self.pushing.remove(&delivery);
                self.returned.insert(JobId::new(job));
                self.accepted.insert(JobId::new(job), delivery);
            }
            Entry::Begun { delivery, job, attempt } => self.begun(delivery, JobId::new(job), attempt),
            Entry::Told { job, what } => self.tally.count(JobId::new(job), what),
            Entry::Seen { receiver, delivery, record } => {
                self.books.entry(receiver).or_default().insert(delivery, record);
            }
        }
    }

    /// How many jobs there may be, at most, of which nothing is known yet: their pushes were cut by a kill, and may have got
    /// through.
    #[must_use]
    pub fn unknown(&self) -> usize {
        let mut unknown = self.in_doubt.clone();
        for (job, delivery) in &self.accepted {
            if !self.returned.contains(job)
                && let Some(times) = unknown.get_mut(delivery)
            {
                *times = times.saturating_sub(1);
            }
        }
        unknown.values().sum()
    }

    fn born(&mut self) {
        self.lives += 1;
        if self.is_living {
            self.kills += 1;
            for delivery in std::mem::take(&mut self.pushing) {
                *self.in_doubt.entry(delivery).or_default() += 1;
            }
            for job in self.accepted.keys() {
                let track = self.tally.tracks.entry(*job).or_default();
                track.cut += u32::from(!track.is_settled());
            }
        }
        self.is_living = true;
    }

    fn begun(&mut self, delivery: String, job: JobId, attempt: u32) {
        // A push whose return nobody saw: now it is known that it got through.
        if self.pushing.contains(&delivery) || self.in_doubt.contains_key(&delivery) {
            self.accepted.insert(job, delivery);
        }
        let track = self.tally.tracks.get(&job).copied().unwrap_or_default();
        let attempts = self.attempts.entry(job).or_default();
        let Attempts { problems, .. } = attempts;
        let mut complain = |what: &str| problems.push(format!("attempt {attempt} began {what}"));
        if track.is_settled() {
            complain("after its end was told");
        }
        if attempt < track.failed {
            complain("again, although its failure was told");
        }
        let is_again = attempt < attempts.counted;
        if is_again && attempts.life == self.lives {
            complain("twice in one life");
        }
        attempts.begun += 1;
        attempts.repeated += u32::from(is_again);
        attempts.counted = attempts.counted.max(attempt.saturating_add(1));
        attempts.life = self.lives;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhooks::tally::What;

    const JOB: u64 = 7;

    fn history(entries: impl IntoIterator<Item = Entry>) -> History {
        let mut history = History::default();
        entries.into_iter().for_each(|entry| history.add(entry));
        history
    }

    fn pushing() -> Entry {
        Entry::Pushing { delivery: "it".to_owned() }
    }

    fn accepted() -> Entry {
        Entry::Accepted { delivery: "it".to_owned(), job: JOB }
    }

    fn begun(attempt: u32) -> Entry {
        Entry::Begun { delivery: "it".to_owned(), job: JOB, attempt }
    }

    fn told(what: What) -> Entry {
        Entry::Told { job: JOB, what }
    }

    fn attempts(entries: impl IntoIterator<Item = Entry>) -> Attempts {
        history(entries).attempts[&JobId::new(JOB)].clone()
    }

    #[test]
    fn what_ran_in_a_kill_may_run_again_and_is_counted() {
        let it = attempts([Entry::Born, pushing(), accepted(), begun(0), Entry::Born, begun(0), begun(1)]);
        assert_eq!((it.begun, it.repeated, it.counted), (3, 1, 2));
        assert_eq!(it.problems, Vec::<String>::new());
    }

    #[test]
    fn no_attempt_begins_twice_in_one_life() {
        let it = attempts([Entry::Born, accepted(), begun(0), begun(1), begun(0)]);
        assert_eq!(it.problems, ["attempt 0 began twice in one life"]);
    }

    #[test]
    fn nothing_comes_back() {
        let it = attempts([Entry::Born, accepted(), begun(0), told(What::Succeeded), Entry::Born, begun(0)]);
        assert_eq!(it.problems, ["attempt 0 began after its end was told"]);
        let it = attempts([Entry::Born, accepted(), begun(0), told(What::Failed), Entry::Born, begun(0)]);
        assert_eq!(it.problems, ["attempt 0 began again, although its failure was told"]);
    }

    #[test]
    fn a_push_in_doubt_is_known_when_its_job_runs() {
        let it = history([Entry::Born, pushing(), Entry::Born]);
        assert_eq!((it.accepted.len(), it.unknown()), (0, 1));
        let it = history([Entry::Born, pushing(), Entry::Born, begun(0)]);
        assert_eq!(it.accepted[&JobId::new(JOB)], "it");
        assert_eq!(it.unknown(), 0);
        let again = Entry::Accepted { delivery: "it".to_owned(), job: JOB + 1 };
        let pushed_again = [Entry::Born, pushing(), Entry::Born, pushing(), again];
        let it = history(pushed_again.clone());
        assert_eq!((it.accepted.len(), it.unknown()), (1, 1), "the first may have got through");
        let it = history(pushed_again.into_iter().chain([begun(0)]));
        assert_eq!((it.accepted.len(), it.unknown()), (2, 0), "it was pushed twice");
        let it = history([Entry::Born, pushing(), Entry::Born, pushing(), Entry::Born]);
        assert_eq!(it.unknown(), 2, "each time may have got through");
        let it = history([Entry::Born, pushing(), begun(0), Entry::Born]);
        assert_eq!((it.accepted.len(), it.unknown()), (1, 0), "it ran before its push returned");
    }

    #[test]
    fn only_a_life_without_an_end_is_a_kill() {
        let it = history([Entry::Born, accepted(), Entry::Over, Entry::Born]);
        assert_eq!((it.lives, it.kills, it.tally.tracks.len()), (2, 0, 0));
        let it = history([Entry::Born, accepted(), Entry::Born]);
        assert_eq!((it.lives, it.kills, it.tally.tracks[&JobId::new(JOB)].cut), (2, 1, 1));
        let it = history([Entry::Born, accepted(), told(What::Died), Entry::Born]);
        assert_eq!((it.kills, it.tally.tracks[&JobId::new(JOB)].cut), (1, 0), "its end is known");
    }
}
