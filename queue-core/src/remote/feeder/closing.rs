//! The end of a feeder: what is left goes back.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::Feeder;
use crate::remote::Reply;
use crate::remote::types::{ClaimToken, SettleAnswer, Settlement, Transition};

pub(super) enum Closing {
    Open,
    /// What was left is on its way back.
    HandingBack(Vec<ClaimToken>, Option<Reply<Vec<SettleAnswer>>>),
    Over,
}

impl Feeder {
    /// The queue is closed: gives back what is left. If that goes on failing, the leases expire, and nothing is left to be
    /// told.
    pub(super) fn close(&mut self, now: Instant, since: Duration, cx: &mut Context<'_>) -> bool {
        let is_late = since >= self.lease;
        match &mut self.closing {
            Closing::Open => {
                let is_asking = self.channels.iter().any(|inlet| inlet.asked.is_some());
                if (!self.writing.is_over() || is_asking) && !is_late {
                    return false;
                }
                let rest = self.hand.rest();
                self.closing = if rest.is_empty() { Closing::Over } else { Closing::HandingBack(rest, None) };
            }
            Closing::HandingBack(_, _) if is_late => self.closing = Closing::Over,
            Closing::HandingBack(rest, reply @ None) => {
                if self.retry_at.is_some_and(|at| at > now) {
                    return false;
                }
                let hand_back =
                    |token: &ClaimToken| Settlement { token: *token, transition: Transition::HandBack };
                *reply = Some(self.store.settle(rest.iter().map(hand_back).collect()));
            }
            Closing::HandingBack(_, answer @ Some(_)) => {
                let Some(reply) = answer else { return false };
                let Poll::Ready(answered) = Pin::new(reply).poll(cx) else { return false };
                *answer = None;
                match answered {
                    Ok(_) => self.closing = Closing::Over,
                    Err(error) => self.failed(now, &error),
                }
            }
            Closing::Over => return false,
        }
        true
    }
}
