//! How often what happened, so that one can see that it did.

use std::fmt;
use std::ops::AddAssign;

use super::record::{Answer, End};

macro_rules! tally {
    ($($what:ident),* $(,)?) => {
        /// How often what happened in a soak.
        #[derive(Clone, Copy, Debug, Default)]
        #[allow(missing_docs, reason = "each is what its name says")]
        pub struct Tally {
            $(pub $what: u64),*
        }

        impl Tally {
            /// What did not happen at all.
            #[must_use]
            pub fn missing(&self) -> Vec<&'static str> {
                [$((stringify!($what), self.$what)),*].iter().filter(|(_, n)| *n == 0).map(|(what, _)| *what).collect()
            }
        }

        impl AddAssign for Tally {
            fn add_assign(&mut self, other: Self) {
                $(self.$what += other.$what;)*
            }
        }

        impl fmt::Display for Tally {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                [$((stringify!($what), self.$what)),*].iter().try_for_each(|(what, n)| write!(f, "{what} {n}, "))
            }
        }
    };
}

tally! {
    accepted, refused, withdrawn, runs, succeeded, failed, snoozed, discarded, cancelled, dropped, asked, removed,
    requeued, purged, dead, handed_back, events, missed,
}

impl Tally {
    pub(super) fn count(&mut self, answer: Answer) {
        let count = match answer {
            Answer::Done => &mut self.succeeded,
            Answer::Failed(_) => &mut self.failed,
            Answer::Snoozed(_) => &mut self.snoozed,
            Answer::Discarded => &mut self.discarded,
            Answer::Cancelled => &mut self.cancelled,
            Answer::Dropped => &mut self.dropped,
        };
        *count += 1;
    }

    pub(super) fn count_refusal(&mut self, end: End) {
        if end == End::Withdrawn { self.withdrawn += 1 } else { self.refused += 1 }
    }
}
