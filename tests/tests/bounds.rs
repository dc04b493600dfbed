//! What the types promise: which of them and of their futures may move between threads, on which runtime; and that the
//! first example compiles word for word on each.

use std::error::Error;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;

use queue_core::{
    AttemptError, AttemptTimedOut, Builder, CancelAnswer, Cancelled, CustomPolicy, DeadJob, DeadReason,
    DecodeError, EncodeError, Event, HandedBack, Handle, HandlerPanicked, Job, JobError, JobId, JobInfo,
    LocalFuture, Name, NewJob, Outcome, Payload, Priority, Push, PushError, PushFuture, PushMany,
    PushManyError, Queue, QueueConfig, QueueCounts, RequeueError, RetryPolicy, Runtime, SendFuture,
    ShutdownReport, Subscription, Timekeeper, UnknownQueue, Worker,
};

/// A type, to ask whether it is `Send` or `Sync`.
struct Type<T: ?Sized>(PhantomData<T>);

fn type_of<T>(_: &T) -> Type<T> {
    Type(PhantomData)
}

/// The answer for types without the property; the inherent functions below come first for those that have it.
trait Without {
    fn is_send(&self) -> bool {
        false
    }

    fn is_sync(&self) -> bool {
        false
    }
}

impl<T: ?Sized> Without for Type<T> {}

impl<T: ?Sized + Send> Type<T> {
    #[expect(clippy::unused_self, reason = "it shadows the trait's function")]
    fn is_send(&self) -> bool {
        true
    }
}

impl<T: ?Sized + Sync> Type<T> {
    #[expect(clippy::unused_self, reason = "it shadows the trait's function")]
    fn is_sync(&self) -> bool {
        true
    }
}

macro_rules! send {
    ($type:ty) => {
        Type::<$type>(PhantomData).is_send()
    };
}

macro_rules! sync {
    ($type:ty) => {
        Type::<$type>(PhantomData).is_sync()
    };
}

fn shareable<T: Clone + Send + Sync + 'static>() {}
fn sendable<T: Send + Sync + 'static>() {}
fn default<T: Default>() {}
fn debug<T: Debug>() {}
fn error<E: Error + Send + Sync + 'static>() {}
fn key<T: Copy + Ord + Hash>() {}

#[test]
fn the_question_can_be_answered_with_no() {
    assert!(send!(i32) && sync!(i32));
    assert!(!send!(std::rc::Rc<i32>) && !sync!(std::rc::Rc<i32>));
    assert!(send!(std::cell::Cell<i32>) && !sync!(std::cell::Cell<i32>));
}

#[test]
fn what_an_application_holds_is_send_and_sync_and_cheap_to_copy() {
    shareable::<Handle>();
    shareable::<Job>();
    shareable::<NewJob>();
    shareable::<Payload>();
    shareable::<Name>();
    shareable::<RetryPolicy>();
    shareable::<CustomPolicy>();
    shareable::<QueueConfig>();
    shareable::<DeadJob>();
    shareable::<AttemptError>();
    shareable::<Event>();
    shareable::<JobInfo>();
    shareable::<Outcome>();
    shareable::<QueueCounts>();
    shareable::<ShutdownReport>();
    shareable::<HandedBack>();
    shareable::<CancelAnswer>();
    shareable::<DeadReason>();
    sendable::<Subscription>();
    sendable::<Cancelled>();
    key::<JobId>();
    key::<Priority>();
    default::<Priority>();
    default::<QueueConfig>();
    default::<RetryPolicy>();
    default::<ShutdownReport>();
    default::<QueueCounts>();
}

#[test]
fn errors_are_errors() {
    error::<PushError>();
    error::<PushManyError>();
    error::<RequeueError>();
    error::<UnknownQueue>();
    error::<EncodeError>();
    error::<DecodeError>();
    error::<JobError>();
    error::<HandlerPanicked>();
    error::<AttemptTimedOut>();
}

#[test]
fn pushing_is_send_on_every_runtime() {
    assert!(send!(Push<'static>) && send!(PushFuture<'static>) && send!(PushMany<'static>));
    assert!(send!(SendFuture) && !send!(LocalFuture));
    let queue = AnyQueue::builder_on(Nowhere).build();
    assert!(type_of(&queue.push("kind", &1).into_future()).is_send());
    assert!(type_of(&queue.push_many([])).is_send());
    assert!(type_of(&queue.subscribe(1).recv()).is_send());
}

/// A runtime whose timer cannot leave its thread: the worst case.
#[derive(Clone)]
struct Nowhere;

type AnyQueue = Queue<Nowhere>;

impl queue_core::Timer for Nowhere {
    type Sleep = std::pin::Pin<Box<dyn Future<Output = ()>>>;

    #[expect(clippy::disallowed_methods, reason = "it is a runtime's timer")]
    fn now(&self) -> std::time::Instant {
        std::time::Instant::now()
    }

    fn wall(&self) -> std::time::SystemTime {
        std::time::SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, _: std::time::Instant) -> Self::Sleep {
        Box::pin(std::future::pending())
    }
}

impl Runtime for Nowhere {
    type Mode = queue_core::LocalMode;
}

#[test]
fn a_queue_is_send_and_sync_even_where_nothing_else_is() {
    shareable::<AnyQueue>();
    sendable::<Builder<Nowhere>>();
    debug::<AnyQueue>();
    debug::<Worker<Nowhere>>();
    debug::<Timekeeper<Nowhere>>();
    assert!(!send!(Worker<Nowhere>) && !send!(Timekeeper<Nowhere>));
}

/// What may move on one runtime: the workers, and the future of a shutdown, which holds the runtime's sleep.
macro_rules! bounds_on {
    ($test:ident, $feature:literal, $queue:ty, $runtime:ty, workers_move: $workers:literal, sleep_moves: $sleep:literal) => {
        #[cfg(feature = $feature)]
        #[test]
        fn $test() {
            shareable::<$queue>();
            default::<$queue>();
            sendable::<$runtime>();
            assert_eq!(send!(Worker<$runtime>), $workers);
            assert_eq!(send!(Timekeeper<$runtime>), $sleep);
            let queue = <$queue>::new();
            assert_eq!(type_of(&queue.shutdown(std::time::Duration::ZERO)).is_send(), $sleep);
            assert_eq!(type_of(&queue.run()).is_send(), $workers && $sleep);
        }
    };
}

bounds_on! {
    on_tokio_everything_may_move, "tokio", queue_tokio::Queue, queue_tokio::Tokio,
    workers_move: true, sleep_moves: true
}
bounds_on! {
    on_a_local_set_workers_stay, "tokio", queue_tokio::local::Queue, queue_tokio::local::TokioLocal,
    workers_move: false, sleep_moves: true
}
bounds_on! {
    on_smol_everything_may_move, "smol", queue_smol::Queue, queue_smol::Smol,
    workers_move: true, sleep_moves: true
}
bounds_on! {
    on_a_local_executor_workers_stay, "smol", queue_smol::local::Queue, queue_smol::local::SmolLocal,
    workers_move: false, sleep_moves: true
}
bounds_on! {
    on_compio_only_the_queue_may_move, "compio", queue_compio::Queue, queue_compio::Compio,
    workers_move: false, sleep_moves: false
}

/// The first example, word for word; only the `use` line differs.
#[cfg(any(feature = "tokio", feature = "smol", feature = "compio"))]
macro_rules! first_example {
    ($name:ident, $use:item) => {
        mod $name {
            use std::time::Duration;

            $use

            pub(super) async fn run() -> Result<(), queue_core::BoxError> {
                let queue = Queue::builder().workers(4).retry(RetryPolicy::exponential(3, Duration::from_secs(1))).build();
                queue.register("send_email", |job: Job| async move {
                    let to: String = job.deserialize()?;
                    println!("Sending email to {to}");
                    Ok(())
                });
                queue.start();
                queue.push("send_email", &"user@example.com").await?;
                queue.push_delayed("send_email", &"later@example.com", Duration::from_secs(5)).await?;
                queue.shutdown(Duration::from_secs(5)).await;
                // The end of the example.
                let report = queue.shutdown(Duration::from_secs(5)).await;
                assert_eq!((report.handed_back.len(), report.abandoned.len()), (1, 0));
                assert_eq!((queue.dead_letters().len(), queue.clear_dead_letters()), (0, 0));
                assert_eq!((queue.pending_count(), queue.inflight_count()), (0, 0));
                assert!(queue.push("send_email", &"too late").await.is_err_and(|error| error.is_shut_down()));
                Ok(())
            }
        }
    };
}

#[cfg(feature = "tokio")]
first_example! { example_on_tokio, use queue_tokio::{Job, Queue, RetryPolicy}; }
#[cfg(feature = "tokio")]
first_example! { example_on_a_local_set, use {queue_tokio::local::Queue, queue_tokio::{Job, RetryPolicy}}; }
#[cfg(feature = "smol")]
first_example! { example_on_smol, use queue_smol::{Job, Queue, RetryPolicy}; }
#[cfg(feature = "compio")]
first_example! { example_on_compio, use queue_compio::{Job, Queue, RetryPolicy}; }

#[cfg(feature = "tokio")]
#[tokio::test]
async fn the_first_example_runs_on_tokio() -> Result<(), queue_core::BoxError> {
    example_on_tokio::run().await
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn the_first_example_runs_on_a_local_set() -> Result<(), queue_core::BoxError> {
    tokio::task::LocalSet::new().run_until(example_on_a_local_set::run()).await
}

#[cfg(feature = "smol")]
#[test]
fn the_first_example_runs_on_smol() -> Result<(), queue_core::BoxError> {
    smol::block_on(example_on_smol::run())
}

#[cfg(feature = "compio")]
#[compio::test]
async fn the_first_example_runs_on_compio() -> Result<(), queue_core::BoxError> {
    example_on_compio::run().await
}
