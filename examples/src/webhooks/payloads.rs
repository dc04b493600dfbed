//! The webhooks to deliver: 329 real GitHub payloads, compiled into the program.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Where these come from and under which licence: `data/NOTICE`.
const EXAMPLES: &str = include_str!("../../data/github-webhooks.jsonl");

/// One webhook as GitHub would send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The event's name: the `X-GitHub-Event` header.
    pub event: String,
    /// The request body: JSON, byte for byte as in the data file.
    pub body: String,
}

/// Reads all payloads, in the order of the data file.
///
/// # Errors
///
/// When a line of the data file is not `{"event": "...", "payload": {...}}`.
pub fn load() -> serde_json::Result<Vec<Payload>> {
    parse(EXAMPLES)
}

fn parse(lines: &str) -> serde_json::Result<Vec<Payload>> {
    lines
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let line: Line<'_> = serde_json::from_str(line)?;
            Ok(Payload { event: line.event.into_owned(), body: line.payload.get().to_owned() })
        })
        .collect()
}

/// The payload stays raw, because parsing and printing it again would change bytes that a real
/// sender has already signed.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_payload_is_an_untouched_slice_of_the_data() {
        let payloads = load().expect("the data file is well formed");
        assert_eq!(payloads.len(), 329);
        for (payload, line) in payloads.iter().zip(EXAMPLES.lines()) {
            assert_eq!(line, format!(r#"{{"event":"{}","payload":{}}}"#, payload.event, payload.body));
        }
    }

    #[test]
    fn spacing_and_number_formats_survive() {
        let payloads = parse(r#"{"event":"ping","payload":{ "zen" : 1.50e0 }}"#).expect("valid");
        assert_eq!(payloads[0].body, r#"{ "zen" : 1.50e0 }"#);
    }

    #[test]
    fn a_bad_line_is_an_error() {
        assert!(parse("{\"event\":\"ping\"}\n").is_err());
    }
}
