//! A queue that is obviously right: vectors and loops, no threads, no lock, no cleverness.
//!
//! It takes the same operations as a real one and says what that must answer, what it must start, in which order and when,
//! and what it holds afterwards. `tests/model.rs` lets random operations happen to both.

mod op;

use std::collections::BTreeMap;
use std::time::Duration;

use queue_core::{DeadReason, Priority};

pub use op::{Answer, Op, Reply, Report, Settings, Spec};

/// What a queue holds.
#[derive(Clone, Debug)]
pub struct Model {
    /// How it is configured.
    pub settings: Settings,
    /// Since the start.
    pub now: Duration,
    /// The attempts that were started, in order: when, which job, which attempt of it.
    pub starts: Vec<(Duration, u64, u32)>,
    /// All jobs that are not gone, by their numbers.
    pub jobs: BTreeMap<u64, Job>,
    /// Those that are ready, in the order in which they became so.
    ready: Vec<u64>,
    /// How often each priority was passed over.
    passed_over: [u32; LEVELS],
    /// The push that waits for room.
    pub line: Option<Spec>,
    /// There is room for it, and nobody else may have that.
    is_granted: bool,
    /// The last number that was given.
    pub last_id: u64,
    /// Whether nothing is started.
    pub paused: bool,
    /// Whether it was shut down.
    pub closed: bool,
    /// What it said then.
    report: Report,
}

/// A job.
#[derive(Clone, Debug)]
pub struct Job {
    /// What was pushed.
    pub spec: Spec,
    /// Where it is.
    pub place: Place,
    /// The next attempt, or the current one.
    pub attempt: u32,
    /// The errors of all attempts, of former lives as well.
    pub errors: Vec<(u32, String)>,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It waits for a worker.
    Ready,
    /// It waits for its time.
    Delayed(Duration),
    /// It runs, until somebody answers for it or its time is up.
    Running {
        /// When that is.
        deadline: Option<Duration>,
        /// It was asked to stop.
        asked: bool,
    },
    /// It is a dead letter.
    Dead(DeadReason),
}

const LEVELS: usize = Priority::LOWEST.level() as usize + 1;

/// An aged lane goes first: after this many starts of others.
const PATIENCE: u32 = 32;

/// What is due is seen to at the next tick.
const TICK: u128 = 1 << 20;

impl Model {
    /// An empty queue, started.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            now: Duration::ZERO,
            starts: Vec::new(),
            jobs: BTreeMap::new(),
            ready: Vec::new(),
            passed_over: [0; LEVELS],
            line: None,
            is_granted: false,
            last_id: 0,
            paused: false,
            closed: false,
            report: Report::default(),
        }
    }

    /// Lets this happen, and everything that follows from it without time passing.
    pub fn apply(&mut self, op: &Op) -> Reply {
        let reply = self.happen(op);
        self.start_what_can();
        reply
    }

    /// The clock jumps: what became due meanwhile is seen to at once.
    pub fn jump_to(&mut self, now: Duration) {
        self.now = now;
        self.fire();
        self.start_what_can();
    }

    /// The jobs in a place.
    pub fn at(&self, place: impl Fn(&Place) -> bool) -> impl Iterator<Item = (&u64, &Job)> {
        self.jobs.iter().filter(move |(_, job)| place(&job.place))
    }

    /// The number of the job that runs and waits for an answer, the `n`th of them.
    #[must_use]
    pub fn held(&self, n: usize) -> Option<u64> {
        let held: Vec<u64> = self.at(is_running).map(|(id, _)| *id).collect();
        (!held.is_empty()).then(|| held[n % held.len()])
    }

    /// The number of a job that was pushed, or of one that was not.
    #[must_use]
    pub fn some_id(&self, n: usize) -> u64 {
        n as u64 % (self.last_id + 2)
    }

    fn happen(&mut self, op: &Op) -> Reply {
        match op {
            Op::Push(spec) => self.push(spec),
            Op::PushMany(specs) => {
                let accepted = specs.iter().map_while(|spec| match self.push(spec) {
                    Reply::Accepted(ids) => Some(ids),
                    _ => None,
                });
                Reply::Accepted(accepted.flatten().collect())
            }
            Op::PushAndWait(spec) => match self.push(spec) {
                Reply::Full if self.line.is_none() => {
                    self.line = Some(spec.clone());
                    Reply::Nothing
                }
                _ => Reply::Nothing,
            },
            Op::Cancel(n) => self.cancel(self.some_id(*n)),
            Op::Pause | Op::Resume => {
                self.paused = matches!(op, Op::Pause);
                Reply::Nothing
            }
            Op::Requeue(n) => self.requeue(self.some_id(*n)),
            Op::Purge => {
                let before = self.jobs.len();
                self.jobs.retain(|_, job| !matches!(job.place, Place::Dead(_)));
                Reply::Purged(before - self.jobs.len())
            }
            Op::Advance(millis) => {
                self.advance(Duration::from_millis(*millis));
                Reply::Nothing
            }
            Op::Jump => Reply::Nothing,
            Op::Answer(n, answer) => {
                if let Some(id) = self.held(*n) {
                    self.settle(id, *answer);
                }
                Reply::Nothing
            }
            Op::ShutDown => self.shut_down(),
        }
    }

    fn push(&mut self, spec: &Spec) -> Reply {
        if self.closed {
            return Reply::ShutDown;
        }
        if self.line.is_some() || !self.has_room() {
            return Reply::Full;
        }
        Reply::Accepted(vec![self.accept(spec.clone())])
    }

    fn accept(&mut self, spec: Spec) -> u64 {
        self.last_id += 1;
        let delay = spec.delay;
        self.jobs.insert(self.last_id, Job { spec, place: Place::Ready, attempt: 0, errors: Vec::new() });
        self.wait(self.last_id, delay);
        self.last_id
    }

    fn has_room(&self) -> bool {
        self.at(|place| matches!(place, Place::Ready | Place::Delayed(_))).count() < self.settings.capacity
    }

    /// A job waits for this long, or is ready at once.
    fn wait(&mut self, id: u64, delay: Duration) {
        let due = self.now + delay;
        let job = self.jobs.get_mut(&id).expect("it is there");
        job.place = if delay.is_zero() { Place::Ready } else { Place::Delayed(due) };
        if delay.is_zero() {
            self.ready.push(id);
        }
    }

    fn cancel(&mut self, id: u64) -> Reply {
        let Some(job) = self.jobs.get_mut(&id) else { return Reply::NotFound };
        match &mut job.place {
            Place::Dead(_) => Reply::NotFound,
            Place::Running { asked, .. } => {
                *asked = true;
                Reply::Asked
            }
            Place::Ready | Place::Delayed(_) => {
                self.remove(id);
                Reply::Removed
            }
        }
    }

    fn requeue(&mut self, id: u64) -> Reply {
        let is_dead = self.jobs.get(&id).is_some_and(|job| matches!(job.place, Place::Dead(_)));
        match () {
            () if !is_dead => Reply::NotFound,
            () if self.closed => Reply::ShutDown,
            () if self.line.is_some() || !self.has_room() => Reply::Full,
            () => {
                let job = self.jobs.get_mut(&id).expect("it is there");
                job.attempt = 0;
                self.wait(id, Duration::ZERO);
                Reply::Requeued
            }
        }
    }

    fn remove(&mut self, id: u64) -> Option<Job> {
        self.leave_lane(id);
        self.jobs.remove(&id)
    }

    /// A job is not ready any more.
    fn leave_lane(&mut self, id: u64) {
        self.ready.retain(|ready| *ready != id);
        for level in 0..LEVELS {
            if self.lane(level).next().is_none() {
                self.passed_over[level] = 0;
            }
        }
    }

    fn lane(&self, level: usize) -> impl Iterator<Item = u64> {
        self.ready.iter().copied().filter(move |id| self.jobs[id].spec.level() == level)
    }

    /// Starts jobs as long as there is one and a worker for it, and lets in who waits for room.
    fn start_what_can(&mut self) {
        while !self.closed {
            if !self.paused && self.at(is_running).count() < self.settings.workers && !self.ready.is_empty() {
                self.start();
            } else if self.grant()
                && let Some(spec) = self.line.take()
            {
                self.is_granted = false;
                self.accept(spec);
            } else {
                return;
            }
        }
    }

    /// Keeps room for who waits for it, from the moment at which there is some.
    fn grant(&mut self) -> bool {
        self.is_granted |= self.line.is_some() && self.has_room();
        self.is_granted
    }

    /// Starts the job whose turn it is: of the priority that was passed over too often, else of the most urgent one.
    fn start(&mut self) {
        let waiting: Vec<usize> = (0..LEVELS).filter(|level| self.lane(*level).next().is_some()).collect();
        let aged = waiting.iter().filter(|level| self.passed_over[**level] >= PATIENCE);
        let level = *aged.max_by_key(|level| self.passed_over[**level]).unwrap_or(&waiting[0]);
        for other in waiting {
            self.passed_over[other] += u32::from(other > level);
        }
        self.passed_over[level] = 0;
        let id = self.lane(level).next().expect("something waits in it");
        self.leave_lane(id);

        let job = self.jobs.get_mut(&id).expect("it is there");
        self.starts.push((self.now, id, job.attempt));
        let deadline = job.spec.timeout.map(|timeout| self.now + timeout);
        job.place = Place::Running { deadline, asked: false };
        let answer = job.spec.answer(job.attempt);
        self.grant();
        if let Some(answer) = answer {
            self.settle(id, answer);
        }
    }

    /// An attempt ends.
    fn settle(&mut self, id: u64, answer: Answer) {
        let job = self.jobs.get_mut(&id).expect("it is there");
        let Place::Running { asked, .. } = job.place else { panic!("{id} does not run") };
        let attempt = job.attempt;
        match answer {
            Answer::Done | Answer::Cancel => drop(self.remove(id)),
            Answer::Snooze(_) | Answer::Fail | Answer::TimedOut if asked => drop(self.remove(id)),
            Answer::Snooze(delay) => self.wait(id, delay),
            Answer::Discard => {
                job.errors.push((attempt, "discarded".into()));
                job.place = Place::Dead(DeadReason::Discarded);
            }
            Answer::Fail | Answer::TimedOut => {
                let error = match answer {
                    Answer::TimedOut => {
                        format!("attempt timed out after {:?}", job.spec.timeout.unwrap_or_default())
                    }
                    _ => "failed".into(),
                };
                job.errors.push((attempt, error));
                let (retries, delay) = job.spec.retry.unwrap_or(self.settings.retry);
                if attempt < retries {
                    job.attempt += 1;
                    self.wait(id, delay);
                } else {
                    job.place = Place::Dead(DeadReason::RetriesExhausted);
                }
            }
        }
    }

    /// Time passes, bit by bit.
    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.due().into_iter().map(|(due, _)| tick(due)).find(|at| *at <= end) {
            self.now = self.now.max(next);
            self.fire();
            self.start_what_can();
        }
        self.now = end;
    }

    /// What waits for a time, in the order in which it is seen to.
    fn due(&self) -> Vec<(Duration, u64)> {
        let due = self.jobs.iter().filter_map(|(id, job)| match job.place {
            Place::Delayed(due) | Place::Running { deadline: Some(due), .. } => Some((due, *id)),
            _ => None,
        });
        let mut due: Vec<_> = due.collect();
        due.sort_unstable();
        due
    }

    /// Sees to what is due.
    fn fire(&mut self) {
        for (_, id) in self.due().into_iter().filter(|(due, _)| tick(*due) <= self.now).collect::<Vec<_>>() {
            match self.jobs[&id].place {
                Place::Delayed(_) => self.wait(id, Duration::ZERO),
                _ => self.settle(id, Answer::TimedOut),
            }
        }
    }

    /// Stops at once: what runs is interrupted, and everything is given back.
    fn shut_down(&mut self) -> Reply {
        let (mut handed_back, mut cancelled) = (Vec::new(), 0);
        if !self.closed {
            for (id, job) in self.at(|place| !matches!(place, Place::Dead(_))) {
                if let Place::Running { asked: true, .. } = job.place {
                    cancelled += 1;
                } else {
                    handed_back.push((*id, job.attempt));
                }
            }
            self.jobs.retain(|_, job| matches!(job.place, Place::Dead(_)));
            self.ready.clear();
            self.line = None;
            self.closed = true;
            self.report = Report { handed_back, cancelled };
        }
        Reply::Report(self.report.clone())
    }
}

fn is_running(place: &Place) -> bool {
    matches!(place, Place::Running { .. })
}

/// When something that is due then is seen to.
fn tick(due: Duration) -> Duration {
    Duration::from_nanos(u64::try_from(due.as_nanos().div_ceil(TICK) * TICK).expect("tests are short"))
}
