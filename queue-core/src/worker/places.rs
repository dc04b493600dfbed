//! Where a worker runs the attempts of its handlers.

use std::any::TypeId;
use std::pin::Pin;
use std::time::Duration;

use crate::handler::{Handler, Mode, PlaceOf};
use crate::job::Name;
use crate::registry::Kind;

/// Places for the types of the handlers that ran last, the latest first: kinds whose handlers are of one type, as those that
/// are made in a loop, take turns in one. All but the first are empty.
pub(super) struct Places<M: Mode> {
    by_type: Vec<(TypeId, PlaceOf<M>)>,
    /// Which kind the first one is for now, and what is known of it.
    kind: Kind,
    pub(super) name: Name,
    pub(super) timeout: Option<Duration>,
}

/// Of so many types.
const KEPT: usize = 8;

impl<M: Mode> Places<M> {
    pub(super) fn new() -> Self {
        Self { by_type: Vec::new(), kind: Kind::UNKNOWN, name: "".into(), timeout: None }
    }

    /// Where the current attempt runs, or the last one ran. There must have been one.
    pub(super) fn first(&mut self) -> Pin<&mut M::Place> {
        self.by_type[0].1.as_mut()
    }

    /// Brings the place for this kind to the front. Its attempts may take as long as the handler says, or else `timeout`.
    #[inline]
    pub(super) fn bring(
        &mut self,
        kind: Kind,
        handler: &Handler<M>,
        timeout: impl FnOnce() -> Option<Duration>,
    ) {
        if self.kind != kind {
            self.find(handler);
            self.kind = kind;
            self.name.clone_from(&handler.name);
            self.timeout = handler.timeout.or(timeout());
        }
    }

    fn find(&mut self, handler: &Handler<M>) {
        let wanted = handler.function.type_id();
        let found = self.by_type.iter().position(|(of, _)| *of == wanted);
        let at = found.unwrap_or_else(|| {
            self.by_type.truncate(KEPT - 1);
            self.by_type.push((wanted, (handler.make_place)()));
            self.by_type.len() - 1
        });
        self.by_type.swap(0, at);
    }

    /// Other handlers may be registered now.
    pub(super) fn forget_kind(&mut self) {
        self.kind = Kind::UNKNOWN;
    }
}
