//! A subscriber that is about to wait, against events and the end of them.

use shuttle::future::block_on;

use super::{World, check, end, log_jobs};
use crate::sync::thread;
use crate::{Event, Queue};

/// A subscriber with room enough sees all there is of every job, in order, and then the end.
#[test]
fn no_event_is_slept_through() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(2).build();
        log_jobs(&queue);
        let mut events = queue.subscribe(100);
        let reader = thread::spawn(move || {
            let mut seen = Vec::new();
            block_on(async {
                while let Some(event) = events.recv().await {
                    seen.push(event);
                }
            });
            assert_eq!((events.missed(), events.try_recv()), (0, None));
            seen
        });
        queue.start();
        let other = queue.clone();
        let pusher = thread::spawn(move || other.try_push("job", &0).expect("there is room"));
        queue.try_push("job", &1).expect("there is room");
        pusher.join().expect("its thread passes");
        end(&queue, &world);
        let seen = reader.join().expect("its thread passes");
        for id in [1, 2] {
            let of_job = |event: &&Event| match event {
                Event::Pushed(job) | Event::Started(job) | Event::Succeeded(job) => job.id.as_u64() == id,
                _ => false,
            };
            let told: Vec<_> = seen.iter().filter(of_job).collect();
            assert!(
                matches!(told[..], [Event::Pushed(_), Event::Started(_), Event::Succeeded(_)]),
                "{told:?}"
            );
        }
    });
}

/// A subscriber that is woken once per event does not wait while there is one: here each of them is waited for.
#[test]
fn every_event_wakes_who_waits() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        let mut events = queue.subscribe(1);
        let pusher = queue.clone();
        world.go(move || {
            pusher.try_push("job", &0).expect("there is room");
        });
        let told = block_on(events.recv());
        assert!(matches!(told, Some(Event::Pushed(_))), "{told:?}");
        end(&queue, &world);
    });
}

/// With too little room, what was read and what was missed are all there was.
#[test]
fn what_is_missed_is_counted() {
    check(|| {
        let world = World::new();
        let queue = Queue::builder_on(world.clone()).workers(1).build();
        log_jobs(&queue);
        let mut all = queue.subscribe(100);
        let mut few = queue.subscribe(2);
        let reader = thread::spawn(move || {
            let mut seen = 0;
            while block_on(few.recv()).is_some() {
                seen += 1;
            }
            seen + few.missed()
        });
        queue.start();
        for number in 0..3 {
            queue.try_push("job", &number).expect("there is room");
        }
        end(&queue, &world);
        let events = std::iter::from_fn(|| all.try_recv()).count() as u64;
        assert_eq!(reader.join().expect("its thread passes"), events);
        assert_eq!(all.missed(), 0);
    });
}
