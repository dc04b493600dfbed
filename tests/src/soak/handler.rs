//! The handler of the soak: notes that it runs, and ends as its task says.

use std::future::pending;
use std::hint::black_box;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_lite::future::yield_now;
use queue_core::{BoxError, Job, JobError, Outcome};

use super::books::Books;
use super::now;
use super::producer::Producer;
use super::record::Answer;
use super::task::{Act, Task};

/// Runs a job. What it does in the call and not in the future is on purpose.
pub(super) fn work(
    books: &Arc<Books>,
    job: Job,
) -> impl Future<Output = Result<Outcome, BoxError>> + Send + use<> {
    let task = Task::read(job.payload());
    if task.is_none() {
        books.accuse(format!("{job:?} has the payload of nobody"));
    }
    let number = task.as_ref().map_or(u64::MAX, |task| task.number);
    let mut inside = Inside {
        run: books.entered(number, &job, now()),
        books: books.clone(),
        number,
        answer: Answer::Dropped,
    };
    let act = task.map_or(Act::Succeed, |task| task.act(inside.run));
    if act == Act::PanicInCall {
        inside.is_about_to(Answer::Failed(None));
        panics();
    }
    async move {
        let (answer, result) = play(&inside, job, act).await;
        inside.is_about_to(answer);
        if act == Act::PanicInPoll {
            panics();
        }
        result
    }
}

async fn play(inside: &Inside, job: Job, act: Act) -> (Answer, Result<Outcome, BoxError>) {
    let (done, failed) = ((Answer::Done, Ok(Outcome::Done)), Answer::Failed(None));
    match act {
        Act::Succeed => done,
        Act::Yield => {
            for _ in 0..3 {
                yield_now().await;
            }
            done
        }
        Act::Wait => {
            inside.books.changed.listen().await;
            done
        }
        Act::Burn => {
            black_box((0..50_000_u64).fold(inside.number, |sum, n| black_box(sum ^ n)));
            done
        }
        Act::PushMore => {
            let random = Rng::with_seed(inside.number);
            Producer::new(job.handle(), &inside.books, None, random).push_from_inside().await;
            done
        }
        Act::Fail => (failed, Err("it fails".into())),
        Act::PanicInCall | Act::PanicInPoll => (failed, Ok(Outcome::Done)),
        Act::RetryAfter(millis) => {
            let delay = Duration::from_millis(millis);
            (Answer::Failed(Some(delay)), Err(JobError::retry_after(delay, "later").into()))
        }
        Act::Snooze(millis) => {
            let delay = Duration::from_millis(millis);
            (Answer::Snoozed(delay), Ok(Outcome::snooze(delay)))
        }
        Act::Discard => (Answer::Discarded, Err(JobError::discard("it is of no use").into())),
        Act::Cancel => (Answer::Cancelled, Ok(Outcome::cancel("it changed its mind"))),
        Act::Hang => pending().await,
        Act::Linger => {
            job.cancelled().await;
            (failed, Err("it lingered".into()))
        }
    }
}

/// Not `panic!`, which prints.
fn panics() {
    resume_unwind(Box::new("it panics"));
}

/// A run of the handler.
struct Inside {
    books: Arc<Books>,
    number: u64,
    run: u32,
    answer: Answer,
}

impl Inside {
    fn is_about_to(&mut self, answer: Answer) {
        self.answer = answer;
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.books.left(self.number, self.answer, now());
    }
}
