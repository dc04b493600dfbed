//! Writes that the system refuses, as a full disk would: the process may write no file beyond a length, until it may again.

#![cfg(target_os = "linux")]

mod common;

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Folder, waiting_ids};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use queue_core::{Event, Health, NewJob, PushError, StoreFault, Subscription};
use queue_sqlite::Store;
use queue_tokio::Queue;
use tokio::sync::Semaphore;

/// Where the store is, for the child; nobody else has it set.
const STORE: &str = "QUEUE_REFUSED_STORE";

/// What jobs wait for.
static GATE: Semaphore = Semaphore::const_new(0);

const LONG: Duration = Duration::from_mins(1);

#[test]
fn what_cannot_be_written_is_given_back_and_nothing_is_lost() {
    let folder = Folder::new();
    // The signal that comes with such a write is ignored, which outlives the shell; the write then fails. Lengths are
    // counted in blocks of 512 bytes, or of twice as many.
    let program = env::current_exe().expect("this is a program");
    let script = r#"trap "" XFSZ; ulimit -S -f 600; exec "$0" --exact child --nocapture"#;
    let mut command = Command::new("sh");
    command.args(["-c", script]).arg(program).env(STORE, folder.path()).stdout(Stdio::null());
    let status = command.status().expect("there is a shell");
    assert!(status.success(), "the child failed: {status}");
    assert_eq!(waiting_ids(&folder.look()), Vec::<u64>::new());
}

/// What runs in the child.
#[tokio::test]
async fn child() {
    let Some(path) = env::var_os(STORE).map(PathBuf::from) else { return };
    let store = Store::open(path).expect("it opens");
    let queue = Queue::builder().workers(4).store(store).build();
    queue.register("work", |_| async {
        GATE.acquire().await.expect("it is never closed").forget();
        Ok(())
    });
    queue.start();
    let mut events = queue.subscribe(10_000);
    let mut accepted = 0;
    let (job, error) = loop {
        match queue.push_job(NewJob::raw("work", vec![b'x'; 20_000])).await {
            Ok(_) if accepted == 1000 => panic!("everything can be written"),
            Ok(_) => accepted += 1,
            Err(PushError::Store { job, error }) => break (*job, error),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(accepted > 5, "nothing can be written");
    assert!(matches!(error.fault(), StoreFault::Full | StoreFault::Io), "{error:?}");
    assert_eq!(job.payload().len(), 20_000);
    assert!(matches!(queue.health(), Health::Outage { .. }));
    wait_for(&mut events, |event| matches!(event, Event::StoreFailed { .. })).await;
    // What ends now cannot be written yet.
    GATE.add_permits(accepted + 1);
    while queue.inflight_count() > 0 {
        tokio::task::yield_now().await;
    }

    let (_, most) = getrlimit(Resource::RLIMIT_FSIZE).expect("there is a limit");
    setrlimit(Resource::RLIMIT_FSIZE, most, most).expect("the soft limit is ours");
    wait_for(&mut events, |event| matches!(event, Event::StoreRecovered)).await;
    queue.push_job(job).await.expect("there is room again");
    for _ in 0..=accepted {
        wait_for(&mut events, |event| matches!(event, Event::Succeeded(_))).await;
    }
    assert!(queue.health().is_well());
    assert!(queue.shutdown(LONG).await.is_clean());
}

/// Waits for an event like this one.
async fn wait_for(events: &mut Subscription, is_it: impl Fn(&Event) -> bool) {
    let event = async { while !is_it(&events.recv().await.expect("the queue lives")) {} };
    tokio::time::timeout(LONG, event).await.expect("it comes sooner or later");
}
