//! One suite for every store.

use queue_tests::store_suite::{Kept, OnQueue, exercise};

#[cfg(feature = "smol")]
mod on_threads {
    use queue_tests::store_suite::Manual;

    use super::*;

    #[test]
    fn memory() {
        smol::block_on(exercise(|| async { OnQueue::new(Manual::default(), Kept::InMemory) }));
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn sqlite() {
        smol::block_on(exercise(|| async {
            let folder = tempfile::tempdir().expect("there is room");
            OnQueue::new(Manual::default(), Kept::OnSqlite(folder))
        }));
    }
}

#[cfg(feature = "sim")]
mod simulated {
    use queue_sim::{Disk, Server, Sim};
    use queue_tests::store_suite::{CAPACITY, CRASHES, OnVerbs, exercise_remote};

    use queue_core::remote::{Control, RemoteStore};

    use super::*;

    #[test]
    fn memory() {
        Sim::explore(0..20, |sim| async move {
            sim.allow_leftovers();
            exercise(|| async { OnQueue::new(sim.clone(), Kept::InMemory) }).await;
        });
    }

    #[test]
    fn the_disk() {
        Sim::explore(0..20, |sim| async move {
            sim.allow_leftovers();
            exercise(|| async { OnQueue::new(sim.clone(), Kept::OnDisk(Disk::new())) }).await;
        });
    }

    #[test]
    fn a_remote_store_behind_a_queue() {
        Sim::explore(0..20, |sim| async move {
            sim.allow_leftovers();
            exercise(|| async {
                let server = Server::new(&sim).crashes_before_quarantine(CRASHES);
                let capacity = Control::Capacity { jobs: CAPACITY, bytes: usize::MAX };
                server.control("default".into(), capacity).await.expect("it answers");
                let link = server.connect();
                OnQueue::new(sim.clone(), Kept::OnServer(server, link))
            })
            .await;
        });
    }

    #[test]
    fn a_remote_store() {
        Sim::explore(0..20, |sim| async move {
            sim.allow_leftovers();
            let server = || Server::new(&sim).crashes_before_quarantine(CRASHES);
            exercise(|| OnVerbs::new(server(), sim.clone())).await;
            exercise(|| OnVerbs::new(server().connect(), sim.clone())).await;
            exercise_remote(server, &sim).await;
            exercise_remote(|| server().connect(), &sim).await;
        });
    }
}
