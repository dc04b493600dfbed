//! The tasks of a simulation: who spawned them, and what they say of themselves at a deadlock.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::waker::TaskWaker;

pub(crate) struct Piece {
    pub(crate) future: Pin<Box<dyn Described>>,
    pub(crate) waker: Arc<TaskWaker>,
    pub(crate) origin: Origin,
}

/// Who spawned a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    User,
    /// It is part of a queue, which can do without it for a while.
    Queue,
    /// The simulator itself.
    Simulator,
}

/// A task that can say what it waits for.
pub(crate) trait Described: Future<Output = ()> {
    fn describe(&self) -> String;
}

pub(crate) struct Named(pub(crate) Pin<Box<dyn Future<Output = ()>>>);

impl Future for Named {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Described for Named {
    fn describe(&self) -> String {
        String::new()
    }
}

pub(crate) struct Part<F>(pub(crate) Pin<Box<F>>);

impl<F: Future<Output = ()>> Future for Part<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl<F: Future<Output = ()> + fmt::Debug> Described for Part<F> {
    fn describe(&self) -> String {
        format!("{:?}", self.0)
    }
}
