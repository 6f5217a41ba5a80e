//! Members that a listing hides: items are sorted, found and known by them, and are kept and served without them.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Items, OriginError};

/// The same items without these members. An item that has none of them keeps its bytes.
pub(super) fn without_hidden(items: Items, names: &Arc<[Box<str>]>) -> Items {
    if names.is_empty() {
        return items;
    }
    let hiding = Hiding {
        names: names.clone(),
        seen: vec![false; names.len()],
        items: 0,
    };
    let stripped = stream::unfold((items, hiding), |(mut items, mut hiding)| async move {
        let Some(batch) = items.next().await else {
            hiding.tell_unseen();
            return None;
        };
        let batch = batch.and_then(|mut batch| {
            for item in &mut batch {
                hiding.hide_in(&mut item.item.json)?;
            }
            Ok(batch)
        });
        Some((batch, (items, hiding)))
    });
    stripped.boxed()
}

struct Hiding {
    names: Arc<[Box<str>]>,
    /// Whether an item had it, for each of the names.
    seen: Vec<bool>,
    items: u64,
}

impl Hiding {
    fn hide_in(&mut self, json: &mut Bytes) -> Result<(), OriginError> {
        self.items += 1;
        let stripped = strip(json, &self.names, &mut self.seen).map_err(|error| OriginError::BadItem {
            position: self.items,
            reason: format!("cannot be read to hide members of it: {error}"),
        })?;
        if let Some(stripped) = stripped {
            *json = stripped;
        }
        Ok(())
    }

    /// A mistyped name would show what was to be hidden.
    fn tell_unseen(&self) {
        if self.items == 0 {
            return;
        }
        for (name, _) in self.names.iter().zip(&self.seen).filter(|(_, seen)| !**seen) {
            tracing::warn!(member = %name, items = self.items, "no item has the member that `hidden` names: is it mistyped?");
        }
    }
}

/// An object's JSON without these members, and which of them it had. `None` where it had none.
fn strip(json: &[u8], names: &[Box<str>], seen: &mut [bool]) -> Result<Option<Bytes>, serde_json::Error> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let mut kept = Kept {
        names,
        seen,
        json: Vec::with_capacity(json.len()),
        hidden: 0,
    };
    (&mut parser).deserialize_map(&mut kept)?;
    parser.end()?;
    kept.json.push(b'}');
    Ok((kept.hidden > 0).then(|| Bytes::from(kept.json)))
}

struct Kept<'n> {
    names: &'n [Box<str>],
    seen: &'n mut [bool],
    json: Vec<u8>,
    hidden: usize,
}

impl<'de> Visitor<'de> for &mut Kept<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        self.json.push(b'{');
        while let Some((name, value)) = members.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            if let Some(at) = self.names.iter().position(|hidden| **hidden == *name) {
                self.hidden += 1;
                if let Some(seen) = self.seen.get_mut(at) {
                    *seen = true;
                }
                continue;
            }
            if self.json.len() > 1 {
                self.json.push(b',');
            }
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut self.json, &*name);
            self.json.push(b':');
            self.json.extend_from_slice(value.get().as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expect: Option<&str>, expect_seen: [bool; 2]) {
        let mut seen = [false; 2];
        let names: [Box<str>; 2] = ["cost".into(), "é\"".into()];
        let stripped = strip(json.as_bytes(), &names, &mut seen).unwrap();
        let stripped = stripped.map(|json| String::from_utf8(json.to_vec()).unwrap());
        assert_eq!((stripped.as_deref(), seen), (expect, expect_seen), "{json}");
    }

    #[test]
    fn members_are_hidden_wherever_they_stand_and_the_others_keep_their_bytes() {
        check(r#"{"id": 1, "b" : 1.50}"#, None, [false, false]);
        check("{}", None, [false, false]);
        check(r#"{"cost":1}"#, Some("{}"), [true, false]);
        check(r#"{"cost":1,"id":7.50}"#, Some(r#"{"id":7.50}"#), [true, false]);
        check(
            r#"{"id" : [1, {"cost": 2}] , "cost":{"a":1}}"#,
            Some(r#"{"id":[1, {"cost": 2}]}"#),
            [true, false],
        );
        check(
            r#"{"cost":1,"x":"\u00e9\n","cost":2,"\u00e9\"":0}"#,
            Some(r#"{"x":"\u00e9\n"}"#),
            [true, true],
        );
        check(r#"{"c\u006fst":1,"a\u0062":2}"#, Some(r#"{"ab":2}"#), [true, false]);
    }
}
