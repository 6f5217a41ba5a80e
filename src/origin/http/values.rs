//! Values put into a request: percent-encoded in the target, as JSON values in the body, never pasted.
//!
//! A value that is not there (a filter that nobody chose, the cursor of the first page) takes along what it stands in: the
//! pair of the query, the element of the list, or else the member of the object.

use std::{borrow::Cow, sync::Arc};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::{
    config::{RequestTemplate, TargetPiece, value_name},
    listing::ItemId,
    origin::OriginError,
};

/// All but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The values of the names in a request. A later value of a name is not looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Values(Vec<(Arc<str>, BoundValue)>);

/// One value.
#[derive(Clone, Debug)]
pub(super) enum BoundValue {
    Text(Arc<str>),
    Number(u64),
    /// Some ids: in a target separated by commas, in a body a list of texts.
    Ids(Arc<[ItemId]>),
    /// Any JSON, byte for byte as the API sent it.
    Json(Box<str>),
}

impl Values {
    /// Parameters, variants and filters.
    pub(super) fn of_texts<'a>(texts: impl Iterator<Item = &'a (Arc<str>, Arc<str>)>) -> Self {
        let texts = texts.map(|(name, value)| (name.clone(), BoundValue::Text(value.clone())));
        Self(texts.collect())
    }

    /// Sets a value, in the place of the one that was there.
    pub(super) fn set(&mut self, name: &str, value: BoundValue) {
        match self.0.iter_mut().find(|(set, _)| **set == *name) {
            Some(set) => set.1 = value,
            None => self.0.push((name.into(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<&BoundValue> {
        let found = self.0.iter().find(|(set, _)| **set == *name);
        found.map(|(_, value)| value)
    }

    /// Path and query of a request.
    pub(super) fn target(&self, request: &RequestTemplate) -> Result<String, OriginError> {
        let mut target = String::new();
        for segment in &request.path {
            target.push('/');
            let begins = target.len();
            if !self.write(segment, &mut target) {
                let name = segment.iter().find_map(|piece| match piece {
                    TargetPiece::Value(name) if self.get(name).is_none() => Some(&**name),
                    _ => None,
                });
                let name = name.unwrap_or_default();
                return Err(OriginError::Misdeclared(format!(
                    "the value `:{name}` is not always there, and cannot stand in a request's path"
                )));
            }
            // A browser's rules, which URLs are read by, would leave out such a segment and the one before it.
            let made = target.get(begins..).unwrap_or_default();
            let holds_value = segment.iter().any(|piece| matches!(piece, TargetPiece::Value(_)));
            if holds_value && matches!(made, "" | "." | "..") {
                return Err(OriginError::Misdeclared(format!(
                    "the value `{made}` cannot stand in a request's path"
                )));
            }
        }
        let mut separator = '?';
        for pair in &request.query {
            let before = target.len();
            target.push(separator);
            if self.write(pair, &mut target) {
                separator = '&';
            } else {
                target.truncate(before);
            }
        }
        Ok(target)
    }

    /// Writes pieces; `false` where one of them is not there.
    fn write(&self, pieces: &[TargetPiece], target: &mut String) -> bool {
        for piece in pieces {
            match piece {
                TargetPiece::Text(text) => target.push_str(text),
                TargetPiece::Value(name) => match self.get(name) {
                    Some(value) => target.extend(utf8_percent_encode(&value.text(), ENCODED)),
                    None => return false,
                },
            }
        }
        true
    }

    /// The body of a request.
    pub(super) fn body(&self, request: &RequestTemplate) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        // Without the value that is the whole body nothing is left of it.
        self.write_json(request.body.as_ref()?, false, &mut body)
            .then_some(body)
    }

    /// Writes JSON; `false`, and nothing of any use, where a value in it is not there.
    fn write_json(&self, template: &Value, in_list: bool, json: &mut Vec<u8>) -> bool {
        match template {
            Value::String(text) => match value_name(text) {
                Some(name) => match self.get(name) {
                    Some(value) => value.write_json(json),
                    None => return false,
                },
                None => write_text(text, json),
            },
            Value::Array(elements) => {
                let mut separator = b'[';
                for element in elements {
                    let before = json.len();
                    json.push(separator);
                    if self.write_json(element, true, json) {
                        separator = b',';
                    } else {
                        json.truncate(before);
                    }
                }
                close(separator, *b"[]", json);
            }
            Value::Object(members) => {
                let mut separator = b'{';
                for (name, value) in members {
                    let before = json.len();
                    json.push(separator);
                    write_text(name, json);
                    json.push(b':');
                    if self.write_json(value, in_list, json) {
                        separator = b',';
                    } else if in_list {
                        return false;
                    } else {
                        json.truncate(before);
                    }
                }
                close(separator, *b"{}", json);
            }
            // Writing to memory cannot fail.
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                let _ = serde_json::to_writer(json, template);
            }
        }
        true
    }
}

impl BoundValue {
    /// As it stands in a target, before it is encoded.
    fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Number(number) => number.to_string().into(),
            Self::Ids(ids) => {
                let ids: Vec<&str> = ids.iter().map(ItemId::as_str).collect();
                ids.join(",").into()
            }
            // A string without its quotes, anything else as it is.
            Self::Json(json) => serde_json::from_str::<String>(json).map_or(Cow::Borrowed(json), Cow::Owned),
        }
    }

    fn write_json(&self, json: &mut Vec<u8>) {
        match self {
            Self::Text(text) => write_text(text, json),
            Self::Ids(ids) => {
                let mut separator = b'[';
                for id in ids.iter() {
                    json.push(separator);
                    write_text(id.as_str(), json);
                    separator = b',';
                }
                close(separator, *b"[]", json);
            }
            Self::Number(number) => json.extend_from_slice(number.to_string().as_bytes()),
            Self::Json(value) => json.extend_from_slice(value.as_bytes()),
        }
    }
}

fn write_text(text: &str, json: &mut Vec<u8>) {
    let _ = serde_json::to_writer(json, text);
}

/// Where nothing was written since the opening bracket was due, it is still to be written.
fn close(separator: u8, [opening, closing]: [u8; 2], json: &mut Vec<u8>) {
    if separator == opening {
        json.push(opening);
    }
    json.push(closing);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let texts: [(Arc<str>, Arc<str>); 2] = [
            ("category".into(), "A&B/ü \"x\"?#%".into()),
            ("plain".into(), "x".into()),
        ];
        let mut values = Values::of_texts(texts.iter());
        values.set("limit", BoundValue::Number(100));
        let ids = ["7", "a,\"b"].map(|id| ItemId::parse(id).unwrap());
        values.set("ids", BoundValue::Ids(ids.into()));
        values.set("cursor", BoundValue::Json("[1.50,\"b\"]".into()));
        values
    }

    fn request(text: &str) -> RequestTemplate {
        RequestTemplate::parse(text).unwrap()
    }

    #[track_caller]
    fn check_target(target: &str, expect: &str) {
        let request = request(&format!("GET {target}"));
        assert_eq!(values().target(&request).unwrap(), expect);
    }

    #[track_caller]
    fn check_body(body: &str, expect: &str) {
        let request = request(&format!("POST /\n{body}"));
        let body = values().body(&request);
        assert_eq!(
            body.map(|body| String::from_utf8(body).unwrap()).unwrap_or_default(),
            expect
        );
    }

    #[test]
    fn a_target_holds_encoded_values() {
        const CATEGORY: &str = "A%26B%2F%C3%BC%20%22x%22%3F%23%25";
        check_target("/c/:category/all", &format!("/c/{CATEGORY}/all"));
        check_target("/c?q=:category&n=:limit", &format!("/c?q={CATEGORY}&n=100"));
        check_target("/c?after=:cursor", "/c?after=%5B1.50%2C%22b%22%5D");
        check_target("/c?id_in=:ids", "/c?id_in=7%2Ca%2C%22b");
        check_target("/", "/");
        check_target("/a//b/?", "/a//b/");
    }

    #[test]
    fn a_pair_without_its_value_is_left_out() {
        check_target("/c?brand=:brand", "/c");
        check_target("/c?brand=:brand&n=:limit&x=:y", "/c?n=100");
        check_target("/c?a&brand=x-:brand&b", "/c?a&b");
    }

    #[test]
    fn a_value_is_one_segment_of_the_path_or_none() {
        let request = request("GET /c/:category/products");
        for (value, expect) in [("..", None), (".", None), ("", None), ("...", Some("/c/.../products"))] {
            let texts = [("category".into(), value.into())];
            let target = Values::of_texts(texts.iter()).target(&request);
            assert_eq!(target.ok().as_deref(), expect, "{value}");
        }
        let error = Values::default().target(&request).unwrap_err().to_string();
        assert!(error.contains("`:category` is not always there"), "{error}");
    }

    #[test]
    fn a_body_holds_json_values() {
        check_body(
            r#"{"c":":category","n":":limit","after":":cursor","x":[1,-2.5,null,true,"a:b",":A"]}"#,
            r#"{"c":"A&B/ü \"x\"?#%","n":100,"after":[1.50,"b"],"x":[1,-2.5,null,true,"a:b",":A"]}"#,
        );
        check_body(r#"{"ids":":ids"}"#, r#"{"ids":["7","a,\"b"]}"#);
        check_body(r#"{":plain":1}"#, r#"{":plain":1}"#);
        check_body("[]", "[]");
        check_body("\":plain\"", "\"x\"");
    }

    #[test]
    fn what_holds_a_value_that_is_not_there_is_left_out() {
        check_body(r#"{"brand":":brand"}"#, "{}");
        check_body(
            r#"{"a":1,"brand":":brand","b":{"x":":brand","y":2}}"#,
            r#"{"a":1,"b":{"y":2}}"#,
        );
        check_body(
            r#"{"filter":[{"term":{"c":":plain"}},{"term":{"brand":":brand","z":1}},{"t":[":brand"]}]}"#,
            r#"{"filter":[{"term":{"c":"x"}},{"t":[]}]}"#,
        );
        check_body(r#"[":brand"]"#, "[]");
        check_body("\":brand\"", "");
    }
}
