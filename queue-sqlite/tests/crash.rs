//! A process that is killed at any instant loses nothing, and brings nothing back.
//!
//! This test starts itself again as a child, which pushes and works, and says line by line what it has been promised: which
//! pushes returned, which attempts began, and which events were published. It is killed while it does so, over and over, on
//! one store; then the store is compared with what was promised.
//!
//! ```text
//! QUEUE_KILLS=1000 cargo test --release -p queue-sqlite --test crash -- --nocapture
//! ```

mod common;
/// The two sides of it.
mod crash {
    pub(crate) mod child;
    pub(crate) mod ledger;

    /// How many dead letters are kept where settled jobs are: some are dropped, then.
    pub(crate) const DEAD_LETTERS: usize = 100;

    /// How often a job is tried again.
    pub(crate) const RETRIES: u32 = 3;
}

use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::Folder;
use crash::ledger::Ledger;

/// Where the store is, for the child; nobody else has it set.
const STORE: &str = "QUEUE_CRASH_STORE";

/// Set when the child is to finish what is there instead of pushing more.
const DRAIN: &str = "QUEUE_CRASH_DRAIN";

/// How long a child lives at most, from before it opens the store.
const LIFE: Duration = Duration::from_millis(150);

#[test]
fn nothing_is_lost_and_nothing_comes_back() {
    let kills: u32 = env::var("QUEUE_KILLS").map_or(200, |text| text.parse().expect("a number of kills"));
    // Where settled jobs are kept, they say more; where they are not, the way is another one.
    for keeps_settled in [true, false] {
        let folder = Folder::new();
        let mut ledger = Ledger::new(keeps_settled);
        for _ in 0..kills / 2 {
            live(&folder.path(), &mut ledger, Some(LIFE.mul_f64(fastrand::f64())));
            ledger.next_life();
        }
        live(&folder.path(), &mut ledger, None);
        ledger.compare(&folder);
    }
}

/// What runs in the child.
#[test]
fn child() {
    if let Some(path) = env::var_os(STORE) {
        crash::child::run(
            Path::new(&path),
            env::var_os("QUEUE_CRASH_KEEP").is_some(),
            env::var_os(DRAIN).is_some(),
        );
    }
}

/// One life of the child: until it is killed, or has finished everything.
fn live(path: &Path, ledger: &mut Ledger, life: Option<Duration>) {
    let mut command = Command::new(env::current_exe().expect("this is a program"));
    command.args(["--exact", "child", "--nocapture"]).env(STORE, path).stdout(Stdio::piped());
    if ledger.keeps_settled {
        command.env("QUEUE_CRASH_KEEP", "1");
    }
    if life.is_none() {
        command.env(DRAIN, "1");
    }
    let mut child = command.spawn().expect("it starts");
    let stdout = child.stdout.take().expect("it is piped");
    let (teller, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        let mut stdout = BufReader::new(stdout);
        let mut text = String::new();
        // A line without an end was cut by the kill.
        while stdout.read_line(&mut text).is_ok_and(|_| text.ends_with('\n')) {
            if teller.send(std::mem::take(&mut text)).is_err() {
                return;
            }
        }
    });
    if let Some(life) = life {
        let end = now() + life;
        while let Ok(text) = lines.recv_timeout(end.saturating_duration_since(now())) {
            ledger.read(&text);
        }
        child.kill().expect("it can be killed");
    }
    for text in lines {
        ledger.read(&text);
    }
    let status = child.wait().expect("it has ended");
    assert!(status.success() || (life.is_some() && status.code().is_none()), "the child failed: {status}");
    reader.join().expect("it reads until the end");
}

#[expect(clippy::disallowed_methods, reason = "the instant of a kill is to be any")]
fn now() -> Instant {
    Instant::now()
}
