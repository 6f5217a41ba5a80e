//! One request and the state that its answer must show; and the lint of many.

use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    judges::{ask, python},
    support::service::{Service, TOKEN},
};

/// What a linter holds against an answer and we answer for: its note, the states that it is said of, and why we stay. `docs/judges.md`
/// has the same at more length.
const ANSWERED_FOR: &[(&str, &[&str], &str)] = &[
    (
        "CONNEG_GZIP_BAD",
        &[
            "filled from the origin",
            "as gzip, parts not made yet",
            "fresh, in Redis",
            "pinned, in Redis",
        ],
        "a page's parts are deflated behind its first answer as gzip, which carries them as they are: some bytes more than plain",
    ),
    (
        "STATUS_BAD_REQUEST",
        &[
            "bad parameters",
            "bad cursor",
            "bad name",
            "a push that is not what it says",
        ],
        "the request is bad, and the contract says 400",
    ),
    (
        "STATUS_URI_TOO_LONG",
        &["a URL that is too long"],
        "the URL is too long, and the contract says 414",
    ),
    (
        "REQUEST_HDR_IN_RESPONSE",
        &["a push of another type"],
        "RFC 9110, 12.5.1 and 15.5.16: `Accept` in a 415 says what would be taken",
    ),
];

/// A request, and what its answer must be for the state to be reached.
pub struct Exchange {
    state: &'static str,
    request: Value,
    status: u16,
    shows: Vec<(&'static str, String)>,
    comes_and_goes: bool,
}

impl Exchange {
    /// A request to a service. Where it is a GET, REDbot asks again in its own ways.
    pub fn of(state: &'static str, service: &Service, method: Method, path: &str) -> Self {
        let again = method == Method::GET;
        Self {
            state,
            request: json!({
                "method": method.as_str(), "url": service.url(path), "headers": [], "body": "", "again": again, "endless": false
            }),
            status: 0,
            shows: Vec::new(),
            comes_and_goes: false,
        }
    }

    pub fn with(mut self, (name, value): (&str, &str)) -> Self {
        self.request["headers"]
            .as_array_mut()
            .unwrap()
            .push(json!([name, value]));
        self
    }

    pub fn token(self) -> Self {
        self.with(("Authorization", &format!("Bearer {TOKEN}")))
    }

    pub fn body(mut self, kind: &str, text: &str) -> Self {
        self.request["body"] = text.into();
        self.with(("Content-Type", kind))
            .with(("Content-Length", &text.len().to_string()))
    }

    /// The body does not end: the head is linted.
    pub fn endless(mut self) -> Self {
        self.request["endless"] = true.into();
        self
    }

    /// The service leaves the state for moments: it is asked again until it is there.
    pub fn comes_and_goes(mut self) -> Self {
        self.comes_and_goes = true;
        self
    }

    pub fn answers(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The answer's header contains this.
    pub fn shows(mut self, header: &'static str, part: impl Into<String>) -> Self {
        self.shows.push((header, part.into()));
        self
    }

    fn is_reached(&self, answer: &Value) -> Result<(), String> {
        if answer["status"] != self.status {
            return Err(format!("answered {}", answer["status"]));
        }
        let headers = answer["headers"].as_array().unwrap();
        for (name, part) in &self.shows {
            let mut values = headers
                .iter()
                .filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(name));
            if !values.any(|header| header[1].as_str().unwrap().contains(part)) {
                return Err(format!("no {name} with {part:?} in {headers:?}"));
            }
        }
        Ok(())
    }

    fn findings(&self, answer: &Value) -> Vec<String> {
        let text = |note: &Value, member: &str| note[member].as_str().unwrap().to_owned();
        let notes = answer["notes"].as_array().unwrap().iter();
        let is_answered_for = |note: &&Value| {
            let mut answered = ANSWERED_FOR.iter();
            answered.any(|(name, states, _)| note["note"] == *name && states.contains(&self.state))
        };
        notes
            .filter(|note| matches!(note["level"].as_str(), Some("bad" | "warning")))
            .filter(|note| !is_answered_for(note))
            .map(|note| {
                format!(
                    "{}: {} {}: {}",
                    self.state,
                    text(note, "level"),
                    text(note, "note"),
                    text(note, "summary")
                )
            })
            .collect()
    }
}

/// So often a state that comes and goes is asked for.
const TRIES: usize = 10;

/// Lints the exchanges one after the other, in this order; nothing bad and no warning may be said of any.
#[track_caller]
pub fn judge(exchanges: Vec<Exchange>) {
    let all: Vec<&Exchange> = exchanges.iter().collect();
    let (mut findings, mut missed) = lint(&all);
    for _ in 1..TRIES {
        let (again, lost): (Vec<_>, Vec<_>) = missed.into_iter().partition(|(exchange, _)| exchange.comes_and_goes);
        findings.extend(
            lost.into_iter()
                .map(|(exchange, why)| format!("{}: not reached: {why}", exchange.state)),
        );
        let again: Vec<&Exchange> = again.into_iter().map(|(exchange, _)| exchange).collect();
        if again.is_empty() {
            missed = Vec::new();
            break;
        }
        let (found, still) = lint(&again);
        findings.extend(found);
        missed = still;
    }
    findings.extend(
        missed
            .into_iter()
            .map(|(exchange, why)| format!("{}: never reached: {why}", exchange.state)),
    );
    assert!(
        findings.is_empty(),
        "of {} states:\n{}",
        exchanges.len(),
        findings.join("\n")
    );
    println!("redbot: {} states, 0 bad, 0 warnings", exchanges.len());
}

/// What is said of those that were reached, and which were not.
fn lint<'a>(exchanges: &[&'a Exchange]) -> (Vec<String>, Vec<(&'a Exchange, String)>) {
    let requests = exchanges.iter().map(|exchange| exchange.request.clone()).collect();
    let answers = ask(&mut python("lint.py"), &Value::Array(requests));
    let (mut findings, mut missed) = (Vec::new(), Vec::new());
    for (exchange, answer) in exchanges.iter().zip(answers.as_array().unwrap()) {
        match exchange.is_reached(answer) {
            Ok(()) => findings.extend(exchange.findings(answer)),
            Err(why) => missed.push((*exchange, why)),
        }
    }
    (findings, missed)
}
