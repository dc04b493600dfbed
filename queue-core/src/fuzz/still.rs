//! A queue in which nothing happens, for jobs that are read and not run.

use std::future::{Pending, pending};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::config::QueueConfig;
use crate::engine::Core;
use crate::handler::LocalMode;
use crate::registry::Registry;
use crate::runtime::{Runtime, Timer};
use crate::slot::{Attempt, Slot};
use crate::store::sample::epoch;

/// An attempt that nobody makes.
pub(super) fn attempt() -> Attempt {
    thread_local! {
        static SLOT: Arc<Slot> = slot();
    }
    SLOT.with(Slot::attempt)
}

/// The slot of a worker of nobody.
pub(crate) fn slot() -> Arc<Slot> {
    let config = QueueConfig::new().resolve("default".into(), &QueueConfig::new());
    let core = Core::new(vec![config], Registry::default(), Arc::new(Still(epoch())), 0, None);
    Arc::new(Slot::new(Arc::new(core), 0))
}

/// A runtime on which time stands still.
#[derive(Clone, Debug)]
struct Still(Instant);

impl Timer for Still {
    type Sleep = Pending<()>;

    fn now(&self) -> Instant {
        self.0
    }

    fn wall(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn sleep_until(&self, _: Instant) -> Self::Sleep {
        pending()
    }
}

impl Runtime for Still {
    type Mode = LocalMode;
}
