//! The job: one attempt at one delivery. There is one copy of it, whatever the runtime.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use queue_core::{BoxError, Job, JobError};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::logbook::{Entry, Logbook};
use super::post::{Delivery, Post, PostError, Reply};

/// The kind of all jobs of this program; their named queues differ.
pub const KIND: &str = "deliver_webhook";

/// What a job carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Webhook {
    /// The delivery's id, the same in every attempt.
    pub delivery: String,
    /// The event's name.
    pub event: String,
    /// Whom to post it to: a name, because a job may be older than its receiver's address.
    pub receiver: String,
    /// The JSON to post, byte for byte.
    pub body: Box<RawValue>,
}

impl Webhook {
    fn to(self, url: String) -> Delivery {
        let body: Box<str> = self.body.into();
        Delivery { id: self.delivery, event: self.event, url, body: Bytes::from(body.into_string()) }
    }
}

/// What deliveries need apart from a client. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Office {
    /// Where each receiver is now.
    pub addresses: Arc<BTreeMap<String, String>>,
    /// Where attempts are noted, if jobs outlive the process.
    pub logbook: Option<Logbook>,
}

/// The handler, except for the client. Its timeout is the queue's.
///
/// It is as `Send` as the client's own future, so that it runs on any runtime without naming one.
///
/// # Errors
///
/// What [`judge`] makes of the answer, or that the payload is not a [`Webhook`] to a known receiver.
pub async fn deliver<P: Post>(client: P, office: Office, job: Job) -> Result<(), BoxError> {
    let webhook: Webhook = job.deserialize()?;
    let Some(url) = office.addresses.get(&webhook.receiver).cloned() else {
        return Err(JobError::discard(format!("nobody is called {}", webhook.receiver)).into());
    };
    if let Some(logbook) = &office.logbook {
        let (delivery, job, attempt) = (webhook.delivery.clone(), job.id.as_u64(), job.attempt);
        logbook.note(Entry::Begun { delivery, job, attempt });
    }
    judge(client.post(&webhook.to(url)).await)
}

/// What an answer means for the job: done, try again (when?), or give it up.
///
/// # Errors
///
/// When the delivery is not acknowledged. The error carries the decision.
pub fn judge(answer: Result<Reply, PostError>) -> Result<(), BoxError> {
    let reply = match answer {
        Ok(reply) => reply,
        Err(error @ PostError::Invalid(_)) => {
            return Err(JobError::discard(format!("{:#}", anyhow::Error::from(error))).into());
        }
        // The receiver may or may not have it. It recognises the id, so sending it again is safe.
        Err(error) => return Err(error.into()),
    };
    let status = reply.status;
    match (status, reply.retry_after) {
        (200..=299, _) => Ok(()),
        (410, _) => Err(JobError::discard("status 410: the receiver is gone for good").into()),
        (429 | 503, Some(wait)) => {
            Err(JobError::retry_after(wait, format!("status {status}: come back in {wait:?}")).into())
        }
        (408 | 425 | 429 | 500..=599, _) => Err(format!("status {status}").into()),
        _ => Err(JobError::discard(format!("status {status}: asking again would not change it")).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;
    use std::time::Duration;

    use super::*;

    /// The decision inside an error is not public, but its text is.
    fn judged(status: u16, retry_after: Option<u64>) -> Result<(), String> {
        let retry_after = retry_after.map(Duration::from_secs);
        judge(Ok(Reply { status, retry_after })).map_err(|error| decision(&*error))
    }

    fn decision(error: &(dyn Error + 'static)) -> String {
        match error.downcast_ref::<JobError>() {
            Some(error) => error.source().expect("a job error carries its decision").to_string(),
            None => "retry by policy".to_owned(),
        }
    }

    #[test]
    fn any_2xx_acknowledges() {
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(judged(status, None), Ok(()), "{status}");
        }
    }

    #[test]
    fn gone_is_given_up_at_once() {
        assert_eq!(judged(410, None), Err("discard".to_owned()));
        assert_eq!(judged(410, Some(1)), Err("discard".to_owned()), "whatever else it says");
    }

    #[test]
    fn retry_after_is_honoured_where_it_has_a_meaning() {
        assert_eq!(judged(429, Some(7)), Err("retry after 7s".to_owned()));
        assert_eq!(judged(503, Some(0)), Err("retry after 0ns".to_owned()));
        assert_eq!(judged(429, None), Err("retry by policy".to_owned()));
        assert_eq!(judged(500, Some(7)), Err("retry by policy".to_owned()));
    }

    #[test]
    fn what_may_pass_is_retried_and_what_will_not_is_discarded() {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            assert_eq!(judged(status, None), Err("retry by policy".to_owned()), "{status}");
        }
        for status in [100, 301, 304, 400, 401, 403, 404, 405, 413, 422, 600] {
            assert_eq!(judged(status, None), Err("discard".to_owned()), "{status}");
        }
    }

    #[test]
    fn a_lost_answer_is_retried_and_an_impossible_request_is_not() {
        let broken = || Box::new(io::Error::from(io::ErrorKind::ConnectionReset));
        for error in [
            PostError::Connect(broken()),
            PostError::Timeout(broken()),
            PostError::Closed(broken()),
            PostError::Protocol(broken()),
        ] {
            let error = judge(Err(error)).expect_err("not acknowledged");
            assert_eq!(decision(&*error), "retry by policy", "{error}");
            assert!(error.source().is_some(), "{error:?} keeps its cause");
        }
        let error = judge(Err(PostError::Invalid("no host".into()))).expect_err("not acknowledged");
        assert_eq!(decision(&*error), "discard");
        assert_eq!(error.to_string(), "the delivery is not a valid request: no host");
    }

    #[test]
    fn the_body_goes_through_a_job_untouched() {
        let body = r#"{ "zen":"\u00e4 ä","n" : 1.50e0 }"#;
        let webhook = Webhook {
            delivery: "delivery-001".to_owned(),
            event: "ping".to_owned(),
            receiver: "healthy".to_owned(),
            body: RawValue::from_string(body.to_owned()).expect("valid JSON"),
        };
        let bytes = serde_json::to_vec(&webhook).expect("it can be written");
        let webhook: Webhook = serde_json::from_slice(&bytes).expect("and read");
        let delivery = webhook.to("http://127.0.0.1/".to_owned());
        assert_eq!((delivery.id.as_str(), delivery.event.as_str()), ("delivery-001", "ping"));
        assert_eq!(delivery.body, body);
    }
}
