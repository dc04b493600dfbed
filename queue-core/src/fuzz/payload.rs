//! Any bytes as the payload of a job.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::still::attempt;
use crate::job::{Job, JobId, NewJob, Priority};
use crate::payload::{INLINE, Payload};

/// Makes a job of these bytes in every way there is, and reads it as many types.
pub fn payload(bytes: &[u8]) {
    let payload = Payload::from(bytes);
    holds(&payload, bytes);
    holds(&Payload::from(bytes.to_vec()), bytes);
    holds(NewJob::raw("kind", bytes.to_vec()).payload(), bytes);
    assert_eq!(payload, payload.clone());
    if let Ok(text) = std::str::from_utf8(bytes) {
        holds(&Payload::from(text), bytes);
        holds(&Payload::from(text.to_owned()), bytes);
        is_encoded_as_it_is(text);
    }
    is_encoded_as_it_is(bytes);

    let job = Job {
        name: "kind".into(),
        attempt: 0,
        id: JobId::new(1),
        priority: Priority::NORMAL,
        payload: payload.clone(),
        context: attempt(),
    };
    assert_eq!((job.raw_payload(), job.payload()), (bytes, &payload));
    assert!(shown(&job) <= shown(&payload) + 100, "{job:?}");
    reads_as_json::<Value>(&job);
    reads_as_json::<bool>(&job);
    reads_as_json::<i8>(&job);
    reads_as_json::<u64>(&job);
    reads_as_json::<f64>(&job);
    reads_as_json::<String>(&job);
    reads_as_json::<Vec<u8>>(&job);
    reads_as_json::<Option<(char, i64)>>(&job);
    reads_as_json::<BTreeMap<String, Value>>(&job);
    reads_as_json::<Message>(&job);
    if let Ok(value) = job.deserialize::<Value>() {
        is_encoded_as_it_is(&value);
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Message {
    to: String,
    #[serde(default)]
    copies: Vec<Option<Message>>,
    size: Option<u32>,
}

/// The payload is these bytes; what must be freed of it is nothing, or all of it.
fn holds(payload: &Payload, bytes: &[u8]) {
    assert_eq!(&payload[..], bytes);
    assert_eq!(payload.as_ref(), bytes);
    let mut rest = payload.clone();
    let shared = rest.take_shared();
    assert_eq!(shared.as_deref(), (bytes.len() > INLINE).then_some(bytes), "of {} bytes", bytes.len());
    assert_eq!(rest.len(), if shared.is_some() { 0 } else { bytes.len() });
    if bytes.len() > 64 {
        assert_eq!(format!("{payload:?}"), format!("Payload({} bytes)", bytes.len()));
    }
    // Six characters for one that cannot be printed.
    assert!(shown(payload) <= 64 * 6 + 20, "{payload:?}");
}

fn shown(value: &impl Debug) -> usize {
    format!("{value:?}").len()
}

fn is_encoded_as_it_is<T: Serialize + ?Sized>(value: &T) {
    let encoded = serde_json::to_vec(value).expect("it has no keys but strings");
    let job = NewJob::json("kind", value).expect("it can be written");
    holds(job.payload(), &encoded);
}

fn reads_as_json<T: DeserializeOwned + Debug + PartialEq>(job: &Job) {
    match (job.deserialize::<T>(), serde_json::from_slice::<T>(job.raw_payload())) {
        (Ok(read), Ok(expected)) => assert_eq!(read, expected),
        (Err(error), Err(expected)) => {
            let source = std::error::Error::source(&error).expect("it has one").to_string();
            assert_eq!(source, expected.to_string());
            assert!(error.to_string().len() < 200, "{error}");
        }
        (read, expected) => panic!("{read:?} instead of {expected:?}"),
    }
}
