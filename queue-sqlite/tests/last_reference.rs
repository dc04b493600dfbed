//! Whoever lets go of a store last.

mod common;

use std::panic;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread::{self, ThreadId};

use common::{Folder, waiting_ids};
use parking_lot::Mutex;
use queue_core::NewJob;
use queue_sqlite::{OpenError, Store};
use queue_tokio::Queue;

type Pushing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// All that keeps a queue alive, until it is woken.
struct LetGo {
    kept: Mutex<Option<(Queue, Pushing)>>,
    woken: mpsc::Sender<ThreadId>,
}

impl Wake for LetGo {
    fn wake(self: Arc<Self>) {
        let kept = self.kept.lock().take();
        drop(kept);
        self.woken.send(thread::current().id()).expect("the test waits");
    }
}

/// The store's own thread wakes whoever pushed, and cannot wait for its own end.
#[tokio::test]
async fn it_may_be_the_thread_of_the_store_itself() {
    static HAS_PANICKED: AtomicBool = AtomicBool::new(false);
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        HAS_PANICKED.store(true, Ordering::SeqCst);
        report(info);
    }));
    let folder = Folder::new();
    let queue = Queue::builder().store(Store::open(folder.path()).expect("it opens")).build();
    let handle = queue.handle();
    let push: Pushing = Box::pin(async move {
        handle.push_job(NewJob::raw("work", "1")).await.expect("the store is well");
    });
    let (woken, has_woken) = mpsc::channel();
    let keeper = Arc::new(LetGo { kept: Mutex::new(Some((queue, push))), woken });
    let waker = Waker::from(keeper.clone());
    {
        let mut kept = keeper.kept.lock();
        let (_, push) = kept.as_mut().expect("nobody has woken it");
        assert!(push.as_mut().poll(&mut Context::from_waker(&waker)).is_pending(), "it is not that fast");
    }
    let by = has_woken.recv().expect("the store answers");
    assert_ne!(by, thread::current().id());
    let store = loop {
        match Store::open(folder.path()) {
            Ok(store) => break store,
            // The thread has let go of the queue, and is on its way to let go of the file.
            Err(OpenError::Locked { .. }) => thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    drop(store);
    assert_eq!(waiting_ids(&folder.look()), [1]);
    assert!(!HAS_PANICKED.load(Ordering::SeqCst), "it has waited for itself");
}
