//! An API that says "error": by a status, or in an answer with status 200.
//!
//! GraphQL answers 200 with `errors` beside the part of `data` that it could make. That part is never taken for the whole.
//! Where nothing is configured, `errors` counts beside `data`; where the answer has no list, `error` counts too, because
//! an error is then likelier than an empty listing.

use serde_json::value::RawValue;

use super::{
    attempts::RequestFailure,
    lookup::{Found, elements, find, is_empty},
};
use crate::{config::JsonPointer, origin::OriginError};

/// How much of an API's own words is repeated.
const SAID_BYTES_MAX: usize = 300;
/// How deep the words are looked for.
const DEPTH_MAX: usize = 4;
/// How many errors of a list are looked at.
const ERRORS_MAX: usize = 16;

/// Members that hold what an API says, the likeliest first.
const SAYING: [&str; 10] = [
    "errors",
    "error",
    "message",
    "detail",
    "title",
    "error_description",
    "description",
    "reason",
    "msg",
    "code",
];
/// Members that hold the class of a GraphQL error.
const CLASSES: [&str; 3] = ["/extensions/code", "/code", "/type"];
/// Classes that pass: spelled in capitals, with `_` for all that is no letter or digit.
const THROTTLED: [&str; 5] = [
    "THROTTLED",
    "RATE_LIMITED",
    "RATE_LIMIT_EXCEEDED",
    "TOO_MANY_REQUESTS",
    "429",
];

/// An API's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiRefusal {
    /// In the API's own words, if it has some.
    pub said: Option<String>,
    /// Asking again later may help.
    pub is_throttled: bool,
}

impl ApiRefusal {
    /// The refusal in an answer with a good status, if it is one. `has_list`: the answer has what it was asked for.
    pub(super) fn in_answer(
        document: &RawValue,
        errors: Option<&JsonPointer>,
        has_list: bool,
    ) -> Result<Option<Self>, OriginError> {
        if let Some(pointer) = errors {
            let found =
                find(document, pointer).map_err(|reason| OriginError::Misdeclared(format!("`errors`: {reason}")))?;
            return Ok(found.filled().filter(|value| is_error(value)).map(Self::of));
        }
        let is_beside_data = matches!(member(document, "/data"), Some(Found::Value(_)));
        let errors = filled(document, "/errors").filter(|_| is_beside_data || !has_list);
        let error = || filled(document, "/error").filter(|_| !has_list);
        let found = errors.or_else(error).filter(|value| is_error(value));
        Ok(found.map(Self::of))
    }

    /// The message in a value that holds one error or several, or an error's whole answer.
    pub(super) fn of(value: &RawValue) -> Self {
        let all = elements(value).unwrap_or_else(|| vec![value]);
        Self {
            said: said(value, 0).map(|said| clipped(&said)),
            is_throttled: all.into_iter().take(ERRORS_MAX).any(is_throttled),
        }
    }

    /// The failure of a request that was answered so.
    pub(super) fn failure(self, request: &str) -> RequestFailure {
        let said = self.said.unwrap_or_else(|| "nothing more".to_owned());
        let reason = format!("{request} answered with an error: {said}");
        match self.is_throttled {
            true => RequestFailure::passing(reason),
            false => RequestFailure::unavailable(reason),
        }
    }
}

/// A number of errors, or the code of one, may be 0.
fn is_error(value: &RawValue) -> bool {
    value.get() != "0"
}

fn member<'v>(value: &'v RawValue, pointer: &str) -> Option<Found<'v>> {
    find(value, &JsonPointer::parse(pointer).ok()?).ok()
}

fn filled<'v>(value: &'v RawValue, pointer: &str) -> Option<&'v RawValue> {
    member(value, pointer)?.filled()
}

fn said(value: &RawValue, depth: usize) -> Option<String> {
    if depth == DEPTH_MAX || is_empty(value) {
        return None;
    }
    if let Ok(text) = serde_json::from_str::<String>(value.get()) {
        return Some(text);
    }
    if let Some(list) = elements(value) {
        return list.into_iter().take(ERRORS_MAX).find_map(|one| said(one, depth + 1));
    }
    match value.get().starts_with('{') {
        true => SAYING
            .iter()
            .find_map(|name| said(filled(value, &format!("/{name}"))?, depth + 1)),
        false => Some(value.get().to_owned()),
    }
}

/// In one line, of bounded length.
fn clipped(said: &str) -> String {
    let said: String = said.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let said = said.trim();
    let end = said.floor_char_boundary(SAID_BYTES_MAX);
    match said.len() > end {
        true => format!("{}…", &said[..end]),
        false => said.to_owned(),
    }
}

fn is_throttled(error: &RawValue) -> bool {
    CLASSES
        .iter()
        .filter_map(|pointer| filled(error, pointer))
        .any(|class| {
            let class = class.get().trim_matches('"').to_ascii_uppercase();
            let class = class.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
            THROTTLED.contains(&&*class)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[track_caller]
    fn check(answer: &str, has_list: bool, expect: Option<(Option<&str>, bool)>) {
        let refusal = ApiRefusal::in_answer(raw(answer), None, has_list).unwrap();
        let refusal = refusal.as_ref().map(|one| (one.said.as_deref(), one.is_throttled));
        assert_eq!(refusal, expect, "{answer}");
    }

    #[test]
    fn errors_beside_data_are_a_refusal() {
        let throttled = r#"{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}]"#;
        check(
            &format!("{throttled},\"data\":null}}"),
            true,
            Some((Some("Throttled"), true)),
        );
        check(&format!("{throttled}}}"), false, Some((Some("Throttled"), true)));
        check(
            r#"{"data":{"a":[1]},"errors":[{"path":["a"]},{"message":"no\nprice"}]}"#,
            true,
            Some((Some("no price"), false)),
        );
        for none in ["null", "[]", "{}", "\"\""] {
            check(&format!(r#"{{"data":[],"errors":{none}}}"#), true, None);
        }
        check(r#"{"items":[],"errors":["a warning"],"error":"x"}"#, true, None);
        check(
            r#"{"error":{"code":500,"message":"down"}}"#,
            false,
            Some((Some("down"), false)),
        );
        check(r#"{"message":"hello"}"#, false, None);
        check(r#"{"error":0,"products":[]}"#, false, None);
        check("[]", true, None);
        let limited = r#"{"data":{},"errors":[{"type":"rate-limited"}]}"#;
        check(limited, true, Some((None, true)));
    }

    #[test]
    fn errors_are_where_the_configuration_says() {
        let pointer = JsonPointer::parse("/_shards/failures").unwrap();
        let of = |answer| ApiRefusal::in_answer(raw(answer), Some(&pointer), true).unwrap();
        assert_eq!(of(r#"{"data":1,"errors":["x"],"_shards":{"failed":0}}"#), None);
        assert_eq!(of(r#"{"_shards":{"failures":0}}"#), None);
        let refusal = of(r#"{"_shards":{"failures":[{"shard":3,"reason":{"reason":"no room"}}]}}"#);
        assert_eq!(refusal.unwrap().said.as_deref(), Some("no room"));
        assert!(ApiRefusal::in_answer(raw(r#"{"_shards":"x"}"#), Some(&pointer), true).is_err());
    }

    #[test]
    fn an_api_s_words_are_bounded() {
        let long = format!("\"{}\"", "é".repeat(1000));
        let said = ApiRefusal::of(raw(&long)).said.unwrap();
        assert!(said.len() <= SAID_BYTES_MAX + 3 && said.ends_with("é…"), "{said}");
        let deep = format!("{}\"x\"{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(ApiRefusal::of(raw(&deep)).said, None);
    }
}
