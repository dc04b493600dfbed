//! The file does not grow with what has passed through it.

mod common;

use std::thread;

use common::*;
use queue_core::{Journal, Record, Sink};
use queue_sqlite::Store;

#[test]
fn what_has_passed_leaves_room_for_what_comes() {
    let folder = Folder::new();
    let sizes: Vec<_> = (0..10)
        .map(|round| {
            // One at a time is in it.
            let store = Store::open(folder.path()).expect("it opens");
            store.begin(Sink::default());
            append(&store, [push_bytes(2 * round + 1, 2_000_000)]);
            append(&store, [done(2 * round + 1)]);
            drop(store);
            folder.size()
        })
        .collect();
    assert!(sizes.iter().all(|size| *size < 3_000_000), "{sizes:?}");
}

#[test]
fn an_idle_store_shrinks() {
    let folder = Folder::new();
    folder.write((1..=100).map(|number| push_bytes(number, 50_000)));
    let large = folder.size();
    assert!(large > 5_000_000, "{large} bytes");
    let store = Store::open(folder.path()).expect("it opens");
    store.begin(Sink::default());
    append(&store, (1..=100).map(done));
    let shell = folder.shell();
    let pages =
        || shell.pragma_query_value(None, "page_count", |row| row.get::<_, u32>(0)).expect("a number");
    let has_shrunk = (0..100_000).any(|_| {
        thread::yield_now();
        u64::from(pages()) * 4096 < large / 2
    });
    assert!(has_shrunk, "{} pages", pages());
    drop((store, shell));
    assert!(folder.size() < large / 2, "{} bytes", folder.size());
}

#[test]
fn old_dead_letters_make_room() {
    let folder = Folder::new();
    let sizes: Vec<_> = (1..=10)
        .map(|number| {
            folder.write([push_bytes(number, 1_000_000), start(number), die(number, 1)]);
            folder.write([Record::Dropped { id: id(number) }]);
            folder.size()
        })
        .collect();
    assert!(sizes.iter().all(|size| *size < 1_500_000), "{sizes:?}");
}
