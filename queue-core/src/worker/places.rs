//! Where a worker runs the attempts of its handlers.

use std::any::TypeId;
use std::pin::Pin;
use std::time::Duration;

use crate::handler::{Handler, Mode, PlaceOf};
use crate::job::Name;
use crate::registry::Kind;

/// Places for the types of the handlers that ran last, the latest first: kinds whose handlers are of one type, as those that
/// are made in a loop, take turns in one. All but the first are empty.
pub(super) struct Places<M: Mode>(Vec<Own<M>>);

/// What a worker has to itself of handlers of one type.
pub(super) struct Own<M: Mode> {
    of: TypeId,
    place: PlaceOf<M>,
    /// Which of them ran last, and what is known of it.
    kind: Kind,
    pub(super) name: Name,
    pub(super) timeout: Option<Duration>,
}

/// Of so many types.
const KEPT: usize = 8;

impl<M: Mode> Places<M> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Where the last attempt began.
    pub(super) fn current(&mut self) -> Option<Pin<&mut M::Place>> {
        self.0.first_mut().map(Own::place)
    }

    /// Brings the place for this kind to the front. Its attempts may take as long as the handler says, or else `timeout`.
    #[inline]
    pub(super) fn bring(
        &mut self,
        kind: Kind,
        handler: &Handler<M>,
        timeout: impl FnOnce() -> Option<Duration>,
    ) -> &mut Own<M> {
        if self.0.first().is_none_or(|own| own.kind != kind) {
            self.find(handler);
            let own = &mut self.0[0];
            own.kind = kind;
            own.name.clone_from(&handler.name);
            own.timeout = handler.timeout.or(timeout());
        }
        &mut self.0[0]
    }

    fn find(&mut self, handler: &Handler<M>) {
        let of = handler.function.type_id();
        let found = self.0.iter().position(|own| own.of == of);
        let at = found.unwrap_or_else(|| {
            self.0.truncate(KEPT - 1);
            let place = (handler.make_place)();
            self.0.push(Own { of, place, kind: Kind::UNKNOWN, name: handler.name.clone(), timeout: None });
            self.0.len() - 1
        });
        self.0.swap(0, at);
    }

    /// Other handlers may be registered now.
    pub(super) fn forget_kinds(&mut self) {
        self.0.iter_mut().for_each(|own| own.kind = Kind::UNKNOWN);
    }
}

impl<M: Mode> Own<M> {
    pub(super) fn place(&mut self) -> Pin<&mut M::Place> {
        self.place.as_mut()
    }
}
