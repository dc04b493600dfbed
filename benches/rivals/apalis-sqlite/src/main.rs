//! Jobs on apalis-sqlite: its path, then how many tasks push, how many jobs at a time, and how many there are in all. Prints
//! the nanoseconds that a job took, and what was set.

#![forbid(unsafe_code)]

#[path = "../../../compare/src/durable/load.rs"]
mod load;

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::*;
use apalis_sqlite::{Config, SqliteStorage};
use load::{Load, Tally, now, payload};
use sqlx::SqlitePool;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().expect("a path is given");
    let load = Load::read(arguments).expect("three numbers are given");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("tokio starts").block_on(run(&path, load));
}

async fn run(path: &str, load: Load) {
    let tally = Tally::new(load);
    let url = format!("sqlite://{path}?mode=rwc");
    let (pool, listener) = SqliteStorage::connect_with_callback(&url).expect("the address is good");
    SqliteStorage::setup(&pool).await.expect("it is set up");
    let settings = make_durable(&pool).await;
    let storage =
        SqliteStorage::<String>::new(&pool).with_config(Config::default().queue("work").batch_size(100));
    // It is told of a push before that is committed, so a look at times is needed, too.
    let strategy = Strategy::new().stream(listener).interval(Duration::from_millis(10));
    let counter = tally.clone();
    let worker = WorkerBuilder::new("work")
        .backend(storage.clone().poll_with_strategy(strategy))
        .build(move |payload: String| work(payload, counter.clone()));
    let worker = tokio::spawn(worker.run());

    let began = now();
    let producers: Vec<_> = load
        .pushes()
        .map(|pushes| {
            let mut storage = storage.clone();
            tokio::spawn(async move {
                for range in pushes {
                    let mut jobs: Vec<_> = range.map(text).collect();
                    if jobs.len() == 1 {
                        storage.push(jobs.remove(0)).await.expect("it is there");
                    } else {
                        storage.push_bulk(jobs).await.expect("it is there");
                    }
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.expect("it pushes");
    }
    let waits = tally.clone();
    tokio::task::spawn_blocking(move || waits.wait()).await.expect("it waits");
    while count(&pool, "status = 'Done'").await < load.jobs {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let time = began.elapsed();

    worker.abort();
    tally.check().expect("every job runs once");
    assert_eq!(count(&pool, "1").await, load.jobs, "jobs are lost or doubled");
    println!("{}", time.as_nanos() / u128::from(load.jobs));
    println!("{settings}; batches of up to 100");
}

/// `setup` has left one connection of the pool with `synchronous = OFF`, and the others with the default, FULL.
async fn make_durable(pool: &SqlitePool) -> String {
    let most = pool.options().get_max_connections();
    let mut connections = Vec::new();
    for _ in 0..most {
        connections.push(pool.acquire().await.expect("a connection"));
    }
    let mut found = Vec::new();
    let mut mode = String::new();
    for conn in &mut connections {
        let before: i64 =
            sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut **conn).await.expect("it says");
        sqlx::query("PRAGMA synchronous = FULL").execute(&mut **conn).await.expect("it can be");
        let now: i64 =
            sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut **conn).await.expect("it says");
        assert_eq!(now, 2, "it is not FULL");
        mode = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut **conn).await.expect("it says");
        found.push(before.to_string());
    }
    format!(
        "journal_mode {mode}, synchronous FULL on all {most} connections (as it comes: {})",
        found.join(" ")
    )
}

async fn count(pool: &SqlitePool, which: &str) -> u64 {
    let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM Jobs WHERE {which}"));
    let count: i64 = sqlx::query_scalar(query).fetch_one(pool).await.expect("it counts");
    count.cast_unsigned()
}

fn text(number: u64) -> String {
    payload(number).trim_matches('"').to_owned()
}

async fn work(payload: String, tally: Arc<Tally>) -> Result<(), BoxDynError> {
    tally.run(&payload);
    Ok(())
}
