//! The real queue, and how it compares with the model.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use event_listener::Event;
use parking_lot::Mutex;
use proptest::prelude::*;
use queue_sim::{
    BoxError, CancelAnswer, Chaos, JobId, NewJob, Outcome, PushError, Queue, QueueCounts, RequeueError,
    RetryPolicy, Subscription, Task, World,
};
use queue_tests::Log;
use queue_tests::model::{Answer, Model, Op, Place, Reply, Report, Settings, Spec};

pub(crate) struct System {
    sim: World,
    queue: Queue,
    desk: Desk,
    starts: Log<(Duration, u64, u32)>,
    waiting: Vec<Task<Result<JobId, PushError>>>,
    /// With a subscriber nothing runs in batches. What a batch gives back stands in the order of the numbers, which is not
    /// the order of the lane when a retry was among it.
    _events: Subscription,
}

impl System {
    pub(crate) fn new(sim: &World, settings: &Settings) -> Self {
        let (retries, delay) = settings.retry;
        let queue = sim.queue_builder().workers(settings.workers).capacity(settings.capacity);
        let queue = queue.retry(RetryPolicy::fixed(retries, delay)).build();
        let (desk, starts) = (Desk::default(), Log::new());
        let at_work = (sim.clone(), desk.clone(), starts.clone());
        queue.register("job", move |job| {
            let (sim, desk, starts) = at_work.clone();
            async move {
                let id = job.id.as_u64();
                starts.add((sim.elapsed(), id, job.attempt));
                let script: Vec<Answer> = job.deserialize()?;
                match script.get(job.attempt as usize).or(script.last()) {
                    Some(answer) => outcome(*answer),
                    None => outcome(desk.answer_for(id).await),
                }
            }
        });
        queue.start();
        let events = queue.subscribe(1);
        Self { sim: sim.clone(), queue, desk, starts, waiting: Vec::new(), _events: events }
    }

    /// Lets this happen, and everything that follows from it without time passing.
    pub(crate) async fn apply(&mut self, op: &Op, model: &Model) -> Reply {
        let reply = match op {
            Op::Push(spec) => match self.queue.push_job(new_job(spec)).try_push() {
                Ok(id) => Reply::Accepted(vec![id.as_u64()]),
                Err(error) => refusal(&error),
            },
            Op::PushMany(specs) => {
                let ids = match self.queue.try_push_many(specs.iter().map(new_job)) {
                    Ok(ids) => ids,
                    Err(error) => error.accepted().to_vec(),
                };
                Reply::Accepted(ids.into_iter().map(JobId::as_u64).collect())
            }
            // The clock of whoever made these operations does not jump: another one may wait still.
            Op::PushAndWait(_) if model.line.is_some() => Reply::Nothing,
            Op::PushAndWait(spec) => {
                let (handle, job) = (self.queue.handle(), new_job(spec));
                self.waiting.push(self.sim.spawn("push", async move { handle.push_job(job).await }));
                Reply::Nothing
            }
            Op::Cancel(n) => match self.queue.cancel(JobId::new(model.some_id(*n))) {
                CancelAnswer::Removed => Reply::Removed,
                CancelAnswer::Asked => Reply::Asked,
                _ => Reply::NotFound,
            },
            Op::Pause => nothing(self.queue.pause("default")),
            Op::Resume => nothing(self.queue.resume("default")),
            Op::Requeue(n) => match self.queue.requeue(JobId::new(model.some_id(*n))) {
                Ok(()) => Reply::Requeued,
                Err(RequeueError::Full(_)) => Reply::Full,
                Err(RequeueError::ShutDown(_)) => Reply::ShutDown,
                Err(_) => Reply::NotFound,
            },
            Op::Purge => Reply::Purged(self.queue.clear_dead_letters()),
            Op::Advance(millis) => {
                self.sim.sleep(Duration::from_millis(*millis)).await;
                Reply::Nothing
            }
            Op::Jump => {
                self.jump().await;
                Reply::Nothing
            }
            Op::Answer(n, answer) => {
                model.held(*n).into_iter().for_each(|id| self.desk.answer(id, *answer));
                Reply::Nothing
            }
            Op::ShutDown => {
                let report = self.queue.shutdown(Duration::ZERO).await;
                assert_eq!((report.finished, report.dead_lettered, report.abandoned.len()), (0, 0, 0));
                let handed_back = report.handed_back.iter().map(|back| (back.id.as_u64(), back.attempts));
                Reply::Report(Report { handed_back: handed_back.collect(), cancelled: report.cancelled })
            }
        };
        self.sim.settle().await;
        reply
    }

    /// Both hold the same, and have started the same.
    pub(crate) fn compare(&self, model: &Model, op: &Op) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.starts.entries(), &model.starts[..], "starts after {:?}", op);
        let counts = self.queue.counts("default").unwrap_or_default();
        let count = |place: fn(&Place) -> bool| model.at(place).count();
        let expected = [
            count(|place| matches!(place, Place::Ready)),
            count(|place| matches!(place, Place::Delayed(_))),
            count(|place| matches!(place, Place::Running { .. })),
            count(|place| matches!(place, Place::Dead(_))),
        ];
        let QueueCounts { ready, delayed, running, dead, .. } = counts;
        prop_assert_eq!([ready, delayed, running, dead], expected, "counts after {:?}", op);
        prop_assert_eq!(counts.workers, if model.closed { 0 } else { model.settings.workers });
        self.compare_dead_letters(model, op)
    }

    fn compare_dead_letters(&self, model: &Model, op: &Op) -> Result<(), TestCaseError> {
        let dead = self.queue.dead_letters().into_iter().map(|dead| {
            let history = dead.history.iter().map(|failed| (failed.attempt, failed.error.clone()));
            (dead.id.as_u64(), (dead.reason, dead.attempts, history.collect::<Vec<_>>()))
        });
        let expected = model.jobs.iter().filter_map(|(id, job)| match job.place {
            Place::Dead(reason) => Some((*id, (reason, job.attempt + 1, job.errors.clone()))),
            _ => None,
        });
        let (dead, expected): (BTreeMap<_, _>, BTreeMap<_, _>) = (dead.collect(), expected.collect());
        prop_assert_eq!(dead, expected, "dead letters after {:?}", op);
        Ok(())
    }

    /// Once, by as much as the simulator likes, while everybody sleeps.
    async fn jump(&self) {
        self.sim.chaos(Chaos::none().clock_jumps(1.0));
        let mut is_over = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut is_over, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        self.sim.calm();
    }
}

/// Where handlers wait for what they are to answer.
#[derive(Clone, Default)]
struct Desk(Arc<(Mutex<BTreeMap<u64, Answer>>, Event)>);

impl Desk {
    fn answer(&self, id: u64, answer: Answer) {
        self.0.0.lock().insert(id, answer);
        self.0.1.notify(usize::MAX);
    }

    async fn answer_for(&self, id: u64) -> Answer {
        loop {
            let changed = self.0.1.listen();
            if let Some(answer) = self.0.0.lock().remove(&id) {
                return answer;
            }
            changed.await;
        }
    }
}

fn new_job(spec: &Spec) -> NewJob {
    let job = NewJob::json("job", &spec.script).expect("a script is JSON").priority(spec.priority);
    let job = if spec.delay.is_zero() { job } else { job.delay(spec.delay) };
    let job = match spec.retry {
        Some((retries, delay)) => job.retry(RetryPolicy::fixed(retries, delay)),
        None => job,
    };
    match spec.timeout {
        Some(timeout) => job.timeout(timeout),
        None => job,
    }
}

fn outcome(answer: Answer) -> Result<Outcome, BoxError> {
    match answer {
        Answer::Done => Ok(Outcome::Done),
        Answer::Fail => Err("failed".into()),
        Answer::Snooze(delay) => Ok(Outcome::snooze(delay)),
        Answer::Discard => Ok(Outcome::discard("discarded")),
        Answer::Cancel => Ok(Outcome::cancel("cancelled")),
        Answer::TimedOut => Err("nobody answers that".into()),
    }
}

fn refusal(error: &PushError) -> Reply {
    match error {
        PushError::Full(_) => Reply::Full,
        PushError::ShutDown(_) => Reply::ShutDown,
        error => panic!("{error}"),
    }
}

fn nothing<T, E: std::fmt::Debug>(result: Result<T, E>) -> Reply {
    result.expect("the default queue exists");
    Reply::Nothing
}
