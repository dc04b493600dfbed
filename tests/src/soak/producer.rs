//! Who pushes, in every way there is.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use futures_lite::future::{block_on, poll_once};
use queue_core::{Handle, JobId, NewJob, Priority, PushError, RetryPolicy};

use super::books::Books;
use super::bounds::BOUNDS;
use super::record::Record;
use super::task::{Task, UNKNOWN, WORK};

pub(super) struct Producer {
    handle: Handle,
    books: Arc<Books>,
    /// Which producer it is; none inside of a handler.
    who: Option<usize>,
    random: Rng,
}

impl Producer {
    pub(super) fn new(handle: Handle, books: &Arc<Books>, who: Option<usize>, random: Rng) -> Self {
        Self { handle, books: books.clone(), who, random }
    }

    /// Pushes what another queue gave back, and then jobs of its own, until it has done so much or the queue closes.
    pub(super) fn run(mut self, carried: Vec<(NewJob, Record)>, operations: usize) {
        for (job, record) in carried {
            let Some(number) = Task::number_of(&job) else {
                self.books.accuse(format!("{job:?} was given back, and has the payload of nobody"));
                return;
            };
            self.books.offered(number, record);
            let pushed = block_on(self.handle.push_job(job).into_future());
            self.concluded(number, pushed, false);
        }
        for _ in 0..operations {
            if !block_on(self.step()) {
                return;
            }
        }
    }

    /// Pushes a job from inside of a handler, where no push waits.
    pub(super) async fn push_from_inside(mut self) {
        let (number, job) = self.some_job();
        let pushed = self.handle.push_job(job).await;
        self.concluded(number, pushed, true);
    }

    /// Whether the queue is still open.
    async fn step(&mut self) -> bool {
        match self.random.u8(0..100) {
            0..=54 => {
                let (number, task) = self.some_task(Record::new(0));
                let pushed = self.handle.push(WORK, &task).await;
                self.concluded(number, pushed, false)
            }
            55..=69 => {
                let (number, job) = self.some_job();
                let pushed = self.handle.push_job(job).try_push();
                self.concluded(number, pushed, true)
            }
            70..=89 => {
                let (number, job) = self.some_job();
                let pushed = self.handle.push_job(job).await;
                self.concluded(number, pushed, false)
            }
            90..=93 => self.push_impatiently().await,
            _ => self.push_many().await,
        }
    }

    /// Gives up when it has to wait.
    async fn push_impatiently(&mut self) -> bool {
        let (number, job) = self.some_job();
        let mut push = Box::pin(self.handle.push_job(job).into_future());
        for _ in 0..self.random.u8(1..4) {
            if let Some(pushed) = poll_once(push.as_mut()).await {
                return self.concluded(number, pushed, false);
            }
            thread::yield_now();
        }
        // Until it is gone its job may be accepted.
        drop(push);
        self.books.withdrawn(number);
        true
    }

    async fn push_many(&mut self) -> bool {
        let (numbers, jobs): (Vec<_>, Vec<_>) =
            (0..self.random.usize(1..40)).map(|_| self.some_job()).unzip();
        let (accepted, refused, is_shut_down) = match self.handle.push_many(jobs).await {
            Ok(ids) => (ids, vec![], false),
            Err(error) => (error.accepted().to_vec(), error.refused().to_vec(), error.is_shut_down()),
        };
        if accepted.len() + refused.len() != numbers.len() || is_shut_down == refused.is_empty() {
            self.books
                .accuse(format!("of {numbers:?}, {accepted:?} were accepted and {refused:?} were refused"));
        }
        let mut refused = refused.into_iter().peekable();
        let mut accepted = accepted.into_iter();
        for number in numbers {
            match refused.next_if(|job| Task::number_of(job) == Some(number)) {
                Some(job) => self.books.refused(number, job, is_shut_down),
                None => accepted.by_ref().take(1).for_each(|id| self.books.accepted(number, id)),
            }
        }
        !is_shut_down
    }

    /// Notes how a push has ended. Returns whether the queue is still open.
    fn concluded(&self, number: u64, pushed: Result<JobId, PushError>, may_be_full: bool) -> bool {
        let error = match pushed {
            Ok(id) => {
                self.books.accepted(number, id);
                return true;
            }
            Err(error) => error,
        };
        let (is_shut_down, text) = (error.is_shut_down(), error.to_string());
        let may_be_so = is_shut_down || (may_be_full && error.is_full());
        if !may_be_so {
            self.books.accuse(format!("job {number} should have been accepted: {text}"));
        }
        match error.into_job() {
            Some(job) => self.books.refused(number, job, is_shut_down),
            None => self.books.accuse(format!("job {number} did not come back: {text}")),
        }
        !is_shut_down
    }

    /// A job that is not like the others, for any queue; it is in the books.
    fn some_job(&mut self) -> (u64, NewJob) {
        let queue = self.random.usize(0..BOUNDS.len());
        let level = if self.random.bool() { self.random.u8(0..10) } else { 5 };
        let mut record = Record::new(queue);
        record.is_unknown = self.random.u8(0..100) == 0;
        record.delay =
            Duration::from_millis(if self.random.u8(0..4) == 0 { self.random.u64(0..5) } else { 0 });
        record.line = self.who.filter(|_| record.delay.is_zero()).map(|who| (who, level));
        let policy = (self.random.u8(0..4) == 0).then(|| {
            (record.retries, record.retry_delay) =
                (self.random.u32(0..4), Duration::from_millis(self.random.u64(0..3)));
            RetryPolicy::fixed(record.retries, record.retry_delay)
        });
        let (kind, delay) = (if record.is_unknown { UNKNOWN } else { WORK }, record.delay);
        let (number, task) = self.some_task(record);
        let mut job = NewJob::json(kind, &task).expect("a task is JSON").queue(BOUNDS[queue].name);
        job = job.priority(Priority::new(level).expect("it is one of ten")).delay(delay);
        if let Some(policy) = policy {
            job = job.retry(policy);
        }
        if self.random.u8(0..4) == 0 {
            job = job.timeout(Duration::from_millis(self.random.u64(2..20)));
        }
        (number, job)
    }

    fn some_task(&mut self, record: Record) -> (u64, Task) {
        let number = self.books.next_number();
        self.books.offered(number, record);
        (number, Task::new(number, self.who.is_none(), &mut self.random))
    }
}
