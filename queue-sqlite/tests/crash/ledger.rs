//! What was promised, and whether it was kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use queue_core::RecoveredDead;

use super::{DEAD_LETTERS, RETRIES};
use crate::common::{Folder, waiting_ids};

/// What the child has said, in all its lives.
#[derive(Default)]
pub(crate) struct Ledger {
    pub(crate) keeps_settled: bool,
    jobs: BTreeMap<u64, Job>,
    lives: u32,
    attempts: u64,
}

#[derive(Debug, Default)]
struct Job {
    /// Its kind and tag, which are always those it was pushed with.
    is: Option<String>,
    /// Its push has returned.
    accepted: bool,
    /// An attempt has begun, or it was to be cancelled: it may be over, and nobody said so before the kill.
    may_be_over: bool,
    /// It was said to be over, how and in which life.
    over: Option<String>,
    /// How often it was said to be a dead letter.
    deaths: u32,
    /// How often somebody began to give it another life, which may have been before its death was told of.
    requeues: u32,
    /// The attempt that is next in its first life was said to be no less than this.
    attempt: u32,
}

impl Ledger {
    pub(crate) fn new(keeps_settled: bool) -> Self {
        Self { keeps_settled, ..Self::default() }
    }

    pub(crate) fn next_life(&mut self) {
        self.lives += 1;
    }

    pub(crate) fn read(&mut self, line: &str) {
        let Some((_, said)) = line.trim_end().split_once("> ") else { return };
        let words: Vec<_> = said.split(' ').collect();
        let number = |at: usize| words[at].parse().unwrap_or_else(|_| panic!("{said}"));
        assert_ne!(words[0], "x", "{said}");
        let number_of_life = self.lives;
        let job = self.jobs.entry(number(1)).or_default();
        match words[..] {
            ["a", _, kind, tag] => {
                assert!(!job.accepted, "given twice: {said}, {job:?}");
                job.accepted = true;
                job.is(kind, tag, said);
            }
            ["r", _, attempt, kind, tag] => {
                self.attempts += 1;
                let attempt: u32 = attempt.parse().expect("a number");
                assert!(
                    job.over.is_none() && !job.is_dead(),
                    "came back in life {number_of_life}: {said}, {job:?}"
                );
                assert!(attempt >= job.attempt || job.requeues > 0, "forgot an attempt: {said}, {job:?}");
                job.may_be_over = true;
                job.is(kind, tag, said);
            }
            ["c", _] => job.may_be_over = true,
            ["q", _] => job.requeues += 1,
            ["e", _, "retried", attempt] => {
                job.attempt = job.attempt.max(attempt.parse::<u32>().expect("a number") + 1);
            }
            ["e", _, "died", _] => job.deaths += 1,
            ["e", _, how @ ("done" | "cancelled" | "dropped"), _] => {
                assert!(job.over.is_none(), "over twice: {said}, {job:?}");
                job.over = Some(format!("{how} in life {number_of_life}"));
            }
            _ => panic!("what is this? {said}"),
        }
    }

    /// Whether the store holds what it must, and nothing else, now that everything was drained.
    pub(crate) fn compare(&self, folder: &Folder) {
        let settled = settled(folder);
        assert_eq!(settled.is_empty(), !self.keeps_settled);
        let found = folder.look();
        let waiting: BTreeSet<u64> = waiting_ids(&found).into_iter().collect();
        let dead: BTreeMap<u64, &RecoveredDead> =
            found.dead.iter().map(|dead| (dead.id.as_u64(), dead)).collect();
        for (id, job) in &self.jobs {
            let holds = [waiting.contains(id), dead.contains_key(id), settled.contains(id)];
            let places = holds.iter().filter(|holds| **holds).count();
            let may_be_gone = !self.keeps_settled && job.may_be_over;
            assert!(places <= 1, "{id} is in several places, {holds:?}: {job:?}");
            assert!(
                places == 1 || !job.accepted || may_be_gone || job.over.is_some(),
                "{id} is lost: {job:?}"
            );
            if job.over.is_some() {
                assert!(!waiting.contains(id) && !dead.contains_key(id), "{id} came back: {job:?}");
                assert_eq!(settled.contains(id), self.keeps_settled, "{id} was not settled: {job:?}");
            }
            if job.is_dead() && job.over.is_none() {
                // It may have been dropped, and nobody said so before the kill.
                let is_dead = dead.contains_key(id) || settled.contains(id);
                assert!(is_dead, "{id} is no dead letter: {job:?}");
            }
        }
        for (id, dead) in &dead {
            let attempts = dead.more.history.iter().map(|failure| failure.attempt);
            let lives = dead.more.history.len() / (RETRIES as usize + 1);
            assert!(attempts.eq((0..lives).flat_map(|_| 0..=RETRIES)), "{id} has a wrong history: {dead:?}");
            assert_eq!(dead.attempts, RETRIES + 1);
            assert!(
                dead.more
                    .history
                    .iter()
                    .all(|failure| failure.error == format!("attempt {}", failure.attempt))
            );
        }
        assert!(!self.keeps_settled || dead.len() <= DEAD_LETTERS);
        let is_over = self.jobs.values().filter(|job| job.over.is_some()).count();
        assert!(is_over > 0 && !dead.is_empty() && self.attempts > 0, "the child has done nothing: {self}");
        println!("{self}, {is_over} of them over, {} waiting, {} dead letters", waiting.len(), dead.len());
    }
}

impl Job {
    /// Whether it is a dead letter for sure.
    fn is_dead(&self) -> bool {
        self.deaths > self.requeues
    }

    fn is(&mut self, kind: &str, tag: &str, said: &str) {
        let it = format!("{kind} {tag}");
        let known = self.is.get_or_insert_with(|| it.clone());
        assert_eq!(*known, it, "became another job: {said}");
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let accepted = self.jobs.values().filter(|job| job.accepted).count();
        write!(f, "{} kills, {} attempts, {accepted} accepted jobs", self.lives, self.attempts)
    }
}

/// The jobs that the store has as settled, of which none may be there twice.
fn settled(folder: &Folder) -> BTreeSet<u64> {
    let shell = folder.shell();
    let mut query = shell.prepare("SELECT job FROM settled").expect("there is such a table");
    let jobs = query.query_map([], |row| row.get::<_, i64>(0)).expect("rows");
    let mut settled = BTreeSet::new();
    for job in jobs {
        let id = job.expect("a row").cast_unsigned();
        assert!(settled.insert(id), "{id} was settled twice");
    }
    settled
}
