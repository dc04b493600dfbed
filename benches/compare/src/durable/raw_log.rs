//! The floor: one thread that appends what waits to a file whose blocks are there already, syncs it, and says so. There is
//! no index, nothing is freed, and nobody can find anything again.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::mem;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::folder;
use super::load::{Load, Tally, now, payload};
use crate::contenders::tokio_on;
use crate::measure::timed;
use crate::work::Void;

/// How many tasks run jobs.
const WORKERS: usize = 4;

pub(crate) fn end_to_end(load: Load) -> Result<Duration, Void> {
    let failed = |error: std::io::Error| Void(error.to_string());
    let folder = folder()?;
    // A push is 9 bytes and its payload, a settle 9 bytes.
    let file = preallocated(&folder.path().join("log"), load.jobs * (9 + 64 + 9)).map_err(failed)?;
    let runtime = tokio_on(2);
    let tally = Tally::new(load);
    let log = Arc::new(Log::default());
    let (ready, due) = mpsc::unbounded_channel();
    let due = Arc::new(tokio::sync::Mutex::new(due));
    for _ in 0..WORKERS {
        let (due, log, tally) = (due.clone(), log.clone(), tally.clone());
        runtime.spawn(async move {
            loop {
                let Some((number, payload)) = due.lock().await.recv().await else { return };
                let payload: String = payload;
                tally.run(&payload);
                log.append(|waiting| record(&mut waiting.bytes, 1, number, ""), false);
            }
        });
    }
    let writer = thread::spawn({
        let log = log.clone();
        move || log.write(file, &ready)
    });
    let mut written = Ok(());
    let time = timed(|| {
        for pushes in load.pushes() {
            let log = log.clone();
            runtime.spawn(async move {
                for range in pushes {
                    let (acknowledge, written) = oneshot::channel();
                    log.append(
                        |waiting| {
                            for number in range {
                                let payload = payload(number);
                                record(&mut waiting.bytes, 0, number, &payload);
                                waiting.pushes.push((number, payload));
                            }
                            waiting.acknowledgements.push(acknowledge);
                        },
                        true,
                    );
                    written.await.expect("the writer lives");
                }
            });
        }
        tally.wait();
        log.append(|waiting| waiting.ends = true, true);
        written = writer.join().expect("it writes");
    });
    written.map_err(failed)?;
    drop(runtime);
    tally.check()?;
    Ok(time)
}

/// How long each of so many syncs of 4 KiB takes, one after the other, over blocks that are there already.
pub(crate) fn sync_latencies(syncs: u64) -> Result<Vec<u64>, Void> {
    let failed = |error: std::io::Error| Void(error.to_string());
    let folder = folder()?;
    let mut file = preallocated(&folder.path().join("log"), syncs * 4096).map_err(failed)?;
    let mut latencies = Vec::new();
    for _ in 0..syncs {
        let began = now();
        file.write_all(&[7; 4096]).and_then(|()| file.sync_data()).map_err(failed)?;
        latencies.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok(latencies)
}

/// Nothing that a sync would have to write besides the data: the length is what it is, and the blocks have been written.
fn preallocated(path: &Path, bytes: u64) -> std::io::Result<File> {
    let mut file = File::create_new(path)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..=bytes >> 20 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    drop(file);
    OpenOptions::new().write(true).open(path)
}

fn record(bytes: &mut Vec<u8>, what: u8, number: u64, payload: &str) {
    bytes.push(what);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(payload.as_bytes());
}

#[derive(Debug, Default)]
struct Log {
    waiting: Mutex<Waiting>,
    called: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    pushes: Vec<(u64, String)>,
    acknowledgements: Vec<oneshot::Sender<()>>,
    /// Whether somebody waits: what is settled goes along with the next push.
    urgent: bool,
    ends: bool,
    sleeps: bool,
}

impl Log {
    fn append(&self, add: impl FnOnce(&mut Waiting), urgent: bool) {
        let mut waiting = self.lock();
        add(&mut waiting);
        waiting.urgent |= urgent;
        if urgent && mem::take(&mut waiting.sleeps) {
            drop(waiting);
            self.called.notify_one();
        }
    }

    fn write(&self, mut file: File, ready: &mpsc::UnboundedSender<(u64, String)>) -> std::io::Result<()> {
        loop {
            let group = {
                let mut waiting = self.lock();
                while !waiting.urgent {
                    waiting.sleeps = true;
                    waiting = self.called.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                }
                mem::take(&mut *waiting)
            };
            file.write_all(&group.bytes)?;
            file.sync_data()?;
            for push in group.pushes {
                // The workers are gone when the runtime is.
                let _ = ready.send(push);
            }
            for acknowledgement in group.acknowledgements {
                let _ = acknowledgement.send(());
            }
            if group.ends {
                return Ok(());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
