//! The engine: everything between a [`Handle`](crate::Handle) and the workers that is not generic over the runtime.
//!
//! ```text
//!   Handle ── push, cancel, inspect ──▶ Core ─┬─ Channel "default" ─┬─ Store (jobs)
//!                                             ├─ Channel "email"    ├─ idle workers, busy count
//!   Worker ── settle and claim ───────────────┤        …            ├─ push waiters
//!                                             │                     └─ phase (open … closed)
//!   Timekeeper ── tend what is due ───────────┤
//!                                             ├─ Board: when each channel is due next
//!   shutdown ─────────────────────────────────┴─ Closing: the report, who waits for it
//! ```
//!
//! One mutex per channel guards all of its state, so a job moves between store, workers and waiters in one step; common
//! pushes come in through an inbox with a lock of its own, which is emptied before anything looks at the jobs. What must
//! run outside of these locks (wakers, drops of user values) is collected in [`Effects`] and run after them. Locks are
//! taken in the order closing → channel → inbox → (board | events | registry), and never across an await.

mod board;
mod channel;
mod closing;
mod durable;
mod effects;
mod ids;
mod inbox;
#[cfg(all(test, queue_shuttle))]
mod models;
mod pile;
mod push;
mod recovery;
mod remote;
mod seats;
mod settle;
mod turn;
mod waiters;

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

pub(crate) use board::{Attendance, Board};
pub(crate) use channel::{Cancelling, Channel, ChannelConfig, Requeueing};
use closing::Closing;
use crossbeam_utils::CachePadded;
use durable::Durable;
pub(crate) use durable::{Accepted, Backing, PayloadReceipt};
use effects::Effects;
use ids::Numbers;
pub(crate) use push::{Refusal, Run, Submission, Submissions};
pub(crate) use turn::{Batch, Ending, Seat, Turn};
pub(crate) use waiters::Ticket;

use crate::event::{Event, Subscribers};
use crate::job::Name;
use crate::registry::{Kind, Kinds, Registry};
use crate::runtime::Clock;

pub(crate) struct Core {
    channels: Box<[Channel]>,
    kinds: Kinds,
    /// Written while jobs come in, so it has a cache line to itself: workers read what is beside it.
    numbers: CachePadded<Numbers>,
    pub(crate) board: Board,
    pub(crate) events: Subscribers,
    pub(crate) closing: Closing,
    clock: Arc<dyn Clock>,
    pub(crate) seed: u64,
    durable: Option<Durable>,
}

impl Core {
    pub(crate) fn new(
        configs: Vec<ChannelConfig>,
        registry: Registry,
        clock: Arc<dyn Clock>,
        seed: u64,
        backing: Option<Backing>,
    ) -> Self {
        let epoch = clock.now();
        let channels: Box<[_]> = configs
            .into_iter()
            .enumerate()
            .map(|(index, config)| Channel::new(index, config, epoch))
            .collect();
        Self {
            board: Board::new(channels.len()),
            channels,
            kinds: Kinds::new(registry),
            numbers: CachePadded::new(Numbers::new()),
            events: Subscribers::default(),
            closing: Closing::default(),
            durable: backing.map(|backing| Durable::new(backing, clock.clone())),
            clock,
            seed,
        }
    }

    pub(crate) fn channels(&self) -> &[Channel] {
        &self.channels
    }

    pub(crate) fn channel(&self, index: usize) -> &Channel {
        &self.channels[index]
    }

    pub(crate) fn channel_named(&self, name: &str) -> Option<&Channel> {
        self.index_of(name).map(|index| self.channel(index))
    }

    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.channels.iter().position(|channel| *channel.name() == *name)
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn wall(&self) -> SystemTime {
        self.clock.wall()
    }

    /// The kind's number and its channel; a kind that is not registered runs in the default one.
    pub(crate) fn find_kind(&self, name: &str) -> (Kind, usize) {
        self.kinds.find(name).unwrap_or((Kind::UNKNOWN, DEFAULT_CHANNEL))
    }

    pub(crate) fn add_kind(&self, name: &Name, channel: Option<usize>) -> Kind {
        self.kinds.add(name, channel, DEFAULT_CHANNEL)
    }

    /// The name of a registered kind.
    pub(crate) fn kind_name(&self, kind: Kind) -> Option<Name> {
        self.kinds.name(kind)
    }

    /// Records an event where it happens; the caller's [`Effects`] wake the subscribers. With a durable store it is
    /// published once that is written.
    #[inline]
    fn record(&self, effects: &mut Effects, event: impl FnOnce() -> Event) {
        if self.events.any() {
            self.record_seen(effects, event());
        }
    }

    fn record_seen(&self, effects: &mut Effects, event: Event) {
        if self.is_durable() {
            effects.note(event);
        } else {
            self.events.record(&event);
            effects.events = true;
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("channels", &self.channels.len()).finish_non_exhaustive()
    }
}

/// The named queue that everything runs in which names no other.
pub(crate) const DEFAULT_QUEUE: &str = "default";
const DEFAULT_CHANNEL: usize = 0;

/// Lets go of the queue when the last [`Queue`](crate::Queue) does.
pub(crate) struct Owner(pub(crate) Arc<Core>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
