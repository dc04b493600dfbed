//! Handlers: what may be registered, how it is stored, and how workers find it.
//!
//! Whether handler futures must be `Send` is a property of the runtime, not of this crate: a [`Mode`] says how they
//! are boxed, and the worker loop is `Send` exactly when that box is.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::job::{Job, Name};
use crate::outcome::{BoxError, IntoOutcome, Outcome};
use crate::registry::Kind;
use crate::retry::RetryPolicy;
use crate::sync::{AtomicU64, Ordering, RwLock, ThreadId};
use crate::unwind::drop_quietly;

/// What every handler's future becomes: an outcome or an error.
pub type HandlerResult = Result<Outcome, BoxError>;

/// A boxed handler future that may move between threads. Code that is generic over the runtime registers handlers
/// that return this: every [`Mode`] accepts it.
pub type SendFuture = Pin<Box<dyn Future<Output = HandlerResult> + Send>>;

/// A boxed handler future that stays on its thread.
pub type LocalFuture = Pin<Box<dyn Future<Output = HandlerResult>>>;

/// Whether the tasks of a runtime may move between threads: [`SendMode`] or [`LocalMode`].
pub trait Mode: Accepts<SendFuture, Outcome> + sealed::Mode {}

/// This mode's runtime can run handlers whose future is an `F`.
///
/// Implemented for every `F: Send` by [`SendMode`] and for every `F` by [`LocalMode`].
#[diagnostic::on_unimplemented(
    message = "this handler cannot run on the queue's runtime",
    label = "the handler's future must be `'static` and return `Result<(), BoxError>` or `Result<Outcome, BoxError>`",
    note = "on a work-stealing runtime it must also be `Send`; a thread-per-core or local runtime takes any future"
)]
pub trait Accepts<F, T>: sealed::Mode {
    #[doc(hidden)]
    fn place<H>() -> Pin<Box<<Self as sealed::Mode>::Place>>
    where
        H: Fn(Job) -> F + Send + Sync + 'static;
}

/// Tasks may move between threads: handler futures must be `Send`.
#[derive(Clone, Copy, Debug)]
pub enum SendMode {}

/// Tasks stay on the thread that started them: a handler may hold an `Rc` or a thread-bound socket across an await.
#[derive(Clone, Copy, Debug)]
pub enum LocalMode {}

impl Mode for SendMode {}
impl Mode for LocalMode {}

impl<F, T> Accepts<F, T> for SendMode
where
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
    T: IntoOutcome + 'static,
{
    fn place<H>() -> Pin<Box<dyn Place + Send>>
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
    {
        Box::pin(Kept::<H, F> { handler: PhantomData, future: None })
    }
}

impl<F, T> Accepts<F, T> for LocalMode
where
    F: Future<Output = Result<T, BoxError>> + 'static,
    T: IntoOutcome + 'static,
{
    fn place<H>() -> Pin<Box<dyn Place>>
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
    {
        Box::pin(Kept::<H, F> { handler: PhantomData, future: None })
    }
}

pub(crate) mod sealed {
    use std::any::Any;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use super::{HandlerResult, LocalMode, SendMode, ThreadId};
    use crate::job::Job;
    use crate::sync::thread;

    pub trait Mode: 'static {
        type Place: Place + ?Sized + 'static;

        /// Where the workers that are started now will run: on this thread, or anywhere.
        fn scope() -> Option<ThreadId>;
    }

    /// Where a worker runs the attempts of handlers of one type, one after another. Their futures are of one type, too, so they
    /// take turns in one box: to allocate one for each was 140 instructions, and the allocator the one thing that workers
    /// shared.
    ///
    /// Whatever is called here may panic. Then [`clear`](Self::clear) it, which may panic, too, but only once.
    pub trait Place {
        /// Calls the handler, which must be of this place's type, with the job and polls its future. An answer is in `answer`
        /// even if the future then panics as it is dropped.
        fn start(
            self: Pin<&mut Self>,
            handler: &dyn Any,
            job: &mut Option<Job>,
            cx: &mut Context<'_>,
            answer: &mut Poll<HandlerResult>,
        );

        /// Polls the future again. It stays here, whatever it answers.
        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, answer: &mut Poll<HandlerResult>);

        /// Drops the future, if there is one.
        fn clear(self: Pin<&mut Self>);
    }

    impl Mode for SendMode {
        type Place = dyn Place + Send;

        fn scope() -> Option<ThreadId> {
            None
        }
    }

    impl Mode for LocalMode {
        type Place = dyn Place;

        fn scope() -> Option<ThreadId> {
            Some(thread::current().id())
        }
    }
}

pin_project! {
    struct Kept<H, F> {
        handler: PhantomData<fn(&H)>,
        #[pin]
        future: Option<F>,
    }
}

impl<H, F, T> Place for Kept<H, F>
where
    H: Fn(Job) -> F + 'static,
    F: Future<Output = Result<T, BoxError>>,
    T: IntoOutcome,
{
    fn start(
        mut self: Pin<&mut Self>,
        handler: &dyn Any,
        job: &mut Option<Job>,
        cx: &mut Context<'_>,
        answer: &mut Poll<HandlerResult>,
    ) {
        let handler = handler.downcast_ref::<H>().expect("a worker finds places by the type of the handler");
        let Some(job) = job.take() else { return };
        self.as_mut().project().future.set(Some(handler(job)));
        self.as_mut().poll(cx, answer);
        if answer.is_ready() {
            self.clear();
        }
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>, answer: &mut Poll<HandlerResult>) {
        let Some(future) = self.project().future.as_pin_mut() else { return };
        // One by one, so that it is written where it stays.
        match future.poll(cx) {
            Poll::Pending => {}
            Poll::Ready(Ok(value)) => *answer = Poll::Ready(Ok(value.into_outcome())),
            Poll::Ready(Err(error)) => *answer = Poll::Ready(Err(error)),
        }
    }

    fn clear(self: Pin<&mut Self>) {
        self.project().future.set(None);
    }
}

pub(crate) use sealed::Place;

pub(crate) type PlaceOf<M> = Pin<Box<<M as sealed::Mode>::Place>>;

/// A handler and what is particular to its kind, all in one piece of memory: with many kinds, every other piece is one more
/// wait for it.
pub(crate) struct Handler<M: Mode, H: ?Sized = dyn Any + Send + Sync> {
    pub(crate) name: Name,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) timeout: Option<Duration>,
    /// Makes a place to run it in.
    pub(crate) make_place: fn() -> PlaceOf<M>,
    pub(crate) function: H,
}

/// All handlers of a queue, by number of their kind.
///
/// Workers keep a snapshot and look at the version before each job: finding a handler touches nothing that other
/// workers write.
pub(crate) struct Handlers<M: Mode> {
    version: AtomicU64,
    table: RwLock<Snapshot<M>>,
}

pub(crate) type Snapshot<M> = Arc<Vec<Option<Arc<Handler<M>>>>>;

impl<M: Mode> Handlers<M> {
    pub(crate) fn new() -> Self {
        Self { version: AtomicU64::new(0), table: RwLock::default() }
    }

    /// Puts a handler in place. The one it replaces is returned, so that it is dropped by the caller.
    pub(crate) fn set(&self, kind: Kind, handler: Arc<Handler<M>>) -> Option<Arc<Handler<M>>> {
        let index = kind.index() as usize;
        let mut table = self.table.write();
        let table = Arc::make_mut(&mut table);
        if table.len() <= index {
            table.resize_with(index + 1, || None);
        }
        let replaced = table[index].replace(handler);
        self.version.fetch_add(1, Ordering::Release);
        replaced
    }

    /// Takes all handlers out; dropping them is the caller's.
    pub(crate) fn clear(&self) -> Snapshot<M> {
        let cleared = std::mem::take(&mut *self.table.write());
        self.version.fetch_add(1, Ordering::Release);
        cleared
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn snapshot(&self) -> Snapshot<M> {
        self.table.read().clone()
    }
}

/// Lets go of a snapshot. If it was the last one its handlers go with it, one by one: their `Drop` is the user's, and a
/// second panic while the first unwinds would end the process.
pub(crate) fn drop_snapshot<M: Mode>(snapshot: Snapshot<M>) {
    for handler in Arc::into_inner(snapshot).into_iter().flatten() {
        drop_quietly(handler);
    }
}

impl<M: Mode> Drop for Handlers<M> {
    fn drop(&mut self) {
        drop_snapshot(self.clear());
    }
}

impl<M: Mode> fmt::Debug for Handlers<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.table.read().iter().flatten().map(|handler| handler.name.clone()).collect();
        f.debug_set().entries(names).finish()
    }
}
