//! What a store costs without a queue on it: writing, the file, and opening it again.
//!
//! ```text
//! cargo run --release -p queue-sqlite --example measure -- [JOBS [BYTES [FOLDER]]]
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{env, fs};

use queue_core::{Change, JobId, JobRecord, Journal, Payload, Priority, Record, Sink};
use queue_sqlite::{Check, Store};

/// How many changes are handed over at a time.
const BATCH: u64 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let jobs: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let bytes: usize = args.next().map_or(Ok(64), |text| text.parse())?;
    let folder = tempfile::tempdir_in(args.next().map_or_else(env::temp_dir, PathBuf::from))?;
    let path = folder.path().join("jobs.db");
    println!("{jobs} jobs of {bytes} bytes");

    write(&path, "push", jobs, |number| {
        let payload = Payload::from(vec![b'x'; bytes]);
        let (queue, kind) = ("default".into(), "measure".into());
        let id = JobId::new(number);
        Record::Pushed(Box::new(JobRecord {
            id,
            queue,
            kind,
            priority: Priority::NORMAL,
            due: None,
            payload,
            options: None,
        }))
    })?;
    println!("file: {:.1} bytes per job", ratio(fs::metadata(&path)?.len(), jobs));
    for check in [Check::Read, Check::Quick, Check::Full] {
        let began = now();
        let store = Store::options().check(check).open(&path)?;
        println!("open, {check:?}: {:.3} s", began.elapsed().as_secs_f64());
        drop(store);
    }
    write(&path, "start", jobs, |number| Record::Started { id: JobId::new(number) })?;
    write(&path, "done", jobs, |number| Record::Done { id: JobId::new(number) })?;
    write(&path, "nothing", 0, |number| Record::Done { id: JobId::new(number) })?;
    println!("file: {} bytes at last", fs::metadata(&path)?.len());
    Ok(())
}

fn write(path: &Path, what: &str, jobs: u64, record: impl Fn(u64) -> Record) -> Result<(), Box<dyn Error>> {
    let store = Store::open(path)?;
    drop(store.begin(Sink::default()));
    let began = now();
    for first in (1..=jobs).step_by(usize::try_from(BATCH)?) {
        let last = (first + BATCH - 1).min(jobs);
        store.append(&mut (first..=last).map(|number| Change::new(record(number))).collect());
    }
    drop(store);
    let seconds = began.elapsed().as_secs_f64();
    println!("{what}: {seconds:.2} s, {:.0} per second", ratio(jobs, 1) / seconds);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}

#[expect(clippy::disallowed_methods, reason = "it measures")]
fn now() -> Instant {
    Instant::now()
}
