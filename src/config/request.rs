//! Requests to an API, as the configuration writes them: a method and a target, and below it perhaps a JSON body.
//!
//! ```text
//! GET /products?category=:category&page=:page
//!
//! POST /products/_search
//! {"query": {"term": {"category": ":category"}}, "size": ":limit"}
//! ```
//! A value is named with a colon. In the target the colon stands behind no letter, digit or colon, so that `/items:search` is
//! itself; in the body a value is a whole string. The origin puts values in: encoded, or as a JSON
//! value, never pasted.

use std::fmt;

use serde_json::Value;

use crate::listing::pattern::is_parameter_name;

/// A request with values to be put in.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestTemplate {
    /// How it is sent.
    pub method: RequestMethod,
    /// The target's path, cut at its slashes.
    pub path: Vec<Vec<TargetPiece>>,
    /// The target's query, cut at `&`.
    pub query: Vec<Vec<TargetPiece>>,
    /// The JSON body; strings such as `":category"` in it are values, see [`value_name`].
    pub body: Option<Value>,
}

/// The methods that a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestMethod {
    /// Without a body.
    Get,
    /// With a body or without.
    Post,
    /// To close a session.
    Delete,
}

/// A part of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPiece {
    /// As it stands.
    Text(Box<str>),
    /// A value, by its name.
    Value(Box<str>),
}

/// Why a text is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    /// The first line is something else.
    #[error(
        "a request begins with a line such as `GET /products?category=:category` or `POST /products/_search`, and a JSON body may follow"
    )]
    NoMethod,
    /// The target is no path.
    #[error("`{0}`: the path begins with `/`, and is added to the origin's url")]
    NoPath(String),
    /// The target cannot be sent so.
    #[error("`{0}`: in the path only visible ASCII characters may stand, and no `#`; others are written as %20")]
    NotEncoded(String),
    /// GET has none.
    #[error("a GET request has no body: write POST, or leave the body out")]
    BodyOfGet,
    /// The body is something else.
    #[error("the body is not JSON: {0}")]
    BadBody(String),
}

impl RequestTemplate {
    /// Takes a request as the configuration gives it.
    pub fn parse(text: &str) -> Result<Self, InvalidRequest> {
        let text = text.trim();
        let (line, body) = text.split_once('\n').unwrap_or((text, ""));
        let (method, target) = line
            .trim_end()
            .split_once(char::is_whitespace)
            .ok_or(InvalidRequest::NoMethod)?;
        let method = match method {
            "GET" => RequestMethod::Get,
            "POST" => RequestMethod::Post,
            "DELETE" => RequestMethod::Delete,
            _ => return Err(InvalidRequest::NoMethod),
        };
        let target = target.trim_start();
        if !target.starts_with('/') {
            return Err(InvalidRequest::NoPath(target.to_owned()));
        }
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(InvalidRequest::NotEncoded(target.to_owned()));
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let body = match body.trim() {
            "" => None,
            _ if method == RequestMethod::Get => return Err(InvalidRequest::BodyOfGet),
            body => Some(serde_json::from_str(body).map_err(|error| InvalidRequest::BadBody(error.to_string()))?),
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Ok(Self {
            method,
            path: path.split('/').skip(1).map(pieces).collect(),
            query: pairs.map(pieces).collect(),
            body,
        })
    }

    /// The same where properties of variants may be named too, as `:store.website`: in a target a point may also be what it looks like.
    pub fn with_properties(mut self, is_property: impl Fn(&str) -> bool) -> Self {
        for pieces in self.path.iter_mut().chain(&mut self.query) {
            for at in 0..pieces.len() {
                let [TargetPiece::Value(name), TargetPiece::Text(text), ..] = &pieces[at..] else {
                    continue;
                };
                let Some(behind) = text.strip_prefix('.') else { continue };
                let property = word(behind);
                let full = format!("{name}.{property}");
                if is_property(&full) {
                    let rest = behind.get(property.len()..).unwrap_or_default().into();
                    pieces[at] = TargetPiece::Value(full.into());
                    pieces[at + 1] = TargetPiece::Text(rest);
                }
            }
        }
        self
    }

    /// The names of all values, each as often as it stands.
    pub fn values(&self) -> Vec<&str> {
        let in_target = self.path.iter().chain(&self.query).flatten();
        let mut names: Vec<&str> = in_target
            .filter_map(|piece| match piece {
                TargetPiece::Value(name) => Some(&**name),
                TargetPiece::Text(_) => None,
            })
            .collect();
        if let Some(body) = &self.body {
            names_in(body, &mut names);
        }
        names
    }

    /// Whether it names a value.
    pub fn holds(&self, name: &str) -> bool {
        self.values().contains(&name)
    }
}

impl RequestMethod {
    /// As it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for RequestMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name in a string of a body that is a value: `:category`, or a variant's property, `:store.website`.
pub fn value_name(text: &str) -> Option<&str> {
    let is_name = |name: &&str| match name.split_once('.') {
        Some((name, property)) => is_parameter_name(name) && is_parameter_name(property),
        None => is_parameter_name(name),
    };
    text.strip_prefix(':').filter(is_name)
}

fn names_in<'v>(value: &'v Value, names: &mut Vec<&'v str>) {
    match value {
        Value::String(text) => names.extend(value_name(text)),
        Value::Array(values) => values.iter().for_each(|value| names_in(value, names)),
        Value::Object(members) => members.values().for_each(|value| names_in(value, names)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Cuts a part of a target at its values.
fn pieces(text: &str) -> Vec<TargetPiece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let behind_word = plain.ends_with(|before: char| before.is_ascii_alphanumeric() || matches!(before, '_' | ':'));
        let name = rest.strip_prefix(':').filter(|_| !behind_word).map(word);
        match name.filter(|name| is_parameter_name(name)) {
            Some(name) => {
                if !plain.is_empty() {
                    pieces.push(TargetPiece::Text(std::mem::take(&mut plain).into()));
                }
                pieces.push(TargetPiece::Value(name.into()));
                rest = rest.get(1 + name.len()..).unwrap_or_default();
            }
            None => {
                plain.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
    }
    if !plain.is_empty() {
        pieces.push(TargetPiece::Text(plain.into()));
    }
    pieces
}

/// The letters, digits and underscores that a text begins with.
fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    text.get(..end.unwrap_or(text.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, values: &[&str]) {
        assert_eq!(RequestTemplate::parse(text).unwrap().values(), values, "{text}");
    }

    #[track_caller]
    fn bad(text: &str, says: &str) {
        let error = RequestTemplate::parse(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }

    #[test]
    fn values_are_named_in_target_and_body() {
        check("GET /products", &[]);
        check(
            " GET  /c/:category/:a.json?page=:page&x=:x-:y ",
            &["category", "a", "page", "x", "y"],
        );
        check("GET /v1/items:search?at=10:30&b=a::b&c=:Big&d=:", &[]);
        check(
            "POST /_search\n{\"a\": [\":a\", {\"b\": \":b\", \":c\": \"x:d\"}], \"e\": \":e f\", \"n\": 1}",
            &["a", "b"],
        );
        check("POST /x/_pit?keep_alive=1m", &[]);
        check("DELETE /_pit\r\n{\"id\":\":session\"}", &["session"]);
    }

    #[test]
    fn a_target_is_cut_at_slashes_and_ampersands() {
        let request = RequestTemplate::parse("GET /a/:b?c=:d&&e").unwrap();
        let text = |text: &str| TargetPiece::Text(text.into());
        let value = |name: &str| TargetPiece::Value(name.into());
        assert_eq!(request.path, [vec![text("a")], vec![value("b")]]);
        assert_eq!(request.query, [vec![text("c="), value("d")], vec![text("e")]]);
    }

    #[test]
    fn properties_of_variants_are_values_too() {
        let request = RequestTemplate::parse(
            "POST /:store.path/:a.json?w=:store.website&v=:store.1\n{\"x\": \":store.website\"}",
        );
        let request = request.unwrap().with_properties(|name| name.starts_with("store."));
        assert_eq!(
            request.values(),
            ["store.path", "a", "store.website", "store.1", "store.website"]
        );
    }

    #[test]
    fn what_is_no_request_is_told() {
        for text in ["", "products", "/products", "PATCH /products", "get /products"] {
            bad(text, "begins with a line");
        }
        bad("GET products", "the path begins with `/`");
        bad("GET https://api/products", "the path begins with `/`");
        bad("GET /a b", "only visible ASCII");
        bad("GET /a#b", "only visible ASCII");
        bad("GET /é", "only visible ASCII");
        bad("GET /a\n{}", "has no body");
        bad("POST /a\n{\"a\": :b}", "not JSON: expected value at line 1 column 7");
    }
}
