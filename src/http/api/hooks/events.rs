//! The body of a webhook: one event, or an array of events. Each names items that have changed, or are gone.

use indexmap::IndexMap;
use serde_json::Value;

use crate::{
    config::{GoneSign, HookConfig},
    listing::{Change, ChangeOf, ItemId, ItemState},
};

/// The changes that a body tells of, one an item, in the order of the body. `header` has the values of the request's headers.
pub(super) fn changes_in<'h>(
    body: &Value,
    config: &HookConfig,
    header: impl Fn(&str) -> Option<&'h str>,
) -> Vec<Change> {
    let events = match body {
        Value::Array(events) => &events[..],
        event => std::slice::from_ref(event),
    };
    let mut states: IndexMap<ItemId, ItemState> = IndexMap::new();
    for event in events {
        let are_gone = config.gone_when.as_ref().is_some_and(|gone| {
            let means_it = |text: &str| gone.is.iter().any(|is| **is == *text);
            match &gone.sign {
                GoneSign::Header(name) => header(name).is_some_and(means_it),
                GoneSign::Body(at) => at
                    .values(event)
                    .into_iter()
                    .filter_map(text_of)
                    .any(|text| means_it(&text)),
            }
        });
        let state = if are_gone {
            ItemState::Gone(None)
        } else {
            ItemState::Changed
        };
        let ids = config.ids.iter().flat_map(|at| at.values(event)).filter_map(id_of);
        // The last event of an item counts.
        states.extend(ids.map(|id| (id, state)));
    }
    let changes = states.into_iter().map(|(id, state)| Change {
        of: ChangeOf::Item(id.clone(), state),
        ..Change::of_item(id)
    });
    changes.collect()
}

/// A text or an integer, as in `POST /v1/changes`.
fn id_of(value: &Value) -> Option<ItemId> {
    match value {
        Value::Number(number) if number.is_f64() => None,
        Value::Number(_) | Value::String(_) => ItemId::parse(&text_of(value)?),
        _ => None,
    }
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is_true) => Some(is_true.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Sources;

    fn config(keys: &str) -> HookConfig {
        let sources = Sources {
            environment: [("LISTCACHE_HOOKS__SHOP__SECRET", "0123456789abcdef")]
                .into_iter()
                .collect(),
            ..Sources::default()
        };
        let text = format!("[hooks.shop]\nsignature = {{ header = \"x-signature\" }}\n{keys}");
        sources.load_text(&text).unwrap().hooks.remove(0)
    }

    #[track_caller]
    fn check(config: &HookConfig, topic: Option<&str>, body: &Value, expect: &[&str]) {
        let header = |name: &str| topic.filter(|_| name == "x-topic");
        let changes = changes_in(body, config, header);
        let written: Vec<String> = changes.iter().map(Change::to_json).collect();
        assert_eq!(written, expect, "{body}");
    }

    #[test]
    fn ids_stand_where_the_configuration_says() {
        let config = config(r#"ids = ["/id", "/variants/*/product_id"]"#);
        let check = |body: Value, expect: &[&str]| check(&config, None, &body, expect);
        check(json!({"id": 7}), &[r#"{"id":"7"}"#]);
        check(json!({"id": "7", "variants": [{"product_id": 7}]}), &[r#"{"id":"7"}"#]);
        check(
            json!({"variants": [{"product_id": 9}, {"sku": 1}, {"product_id": "x"}]}),
            &[r#"{"id":"9"}"#, r#"{"id":"x"}"#],
        );
        check(
            json!([{"id": 2}, {"id": 1}, {"id": 2}]),
            &[r#"{"id":"2"}"#, r#"{"id":"1"}"#],
        );
        check(
            json!({"id": 18_446_744_073_709_551_615_u64}),
            &[r#"{"id":"18446744073709551615"}"#],
        );
        for without in [
            json!({}),
            json!([]),
            json!(null),
            json!("7"),
            json!({"id": null}),
            json!({"id": true}),
            json!({"id": 1.5}),
            json!({"id": ""}),
            json!({"id": "x".repeat(257)}),
            json!({"id": {"id": 1}}),
            json!([[{"id": 1}]]),
        ] {
            check(without, &[]);
        }
    }

    #[test]
    fn a_sign_in_body_or_header_says_that_items_are_gone() {
        let body = config("ids = [\"/id\"]\ngone_when = { at = \"/event\", is = [\"product.deleted\", \"true\"] }");
        let gone = r#"{"id":"1","gone":true}"#;
        check(&body, None, &json!({"id": 1, "event": "product.deleted"}), &[gone]);
        check(&body, None, &json!({"id": 1, "event": true}), &[gone]);
        for other in [
            json!({"id": 1, "event": "product.updated"}),
            json!({"id": 1, "event": null}),
            json!({"id": 1}),
        ] {
            check(&body, Some("product.deleted"), &other, &[r#"{"id":"1"}"#]);
        }
        // Each event by itself, and the last one of an item counts.
        let event = |id: i64, event: &str| json!({"id": id, "event": event});
        check(
            &body,
            None,
            &json!([
                event(1, "product.updated"),
                event(2, "product.deleted"),
                event(1, "product.deleted"),
                event(2, "x")
            ]),
            &[gone, r#"{"id":"2"}"#],
        );
        let header = config("ids = [\"/id\"]\ngone_when = { header = \"X-Topic\", is = [\"products/delete\"] }");
        check(&header, Some("products/delete"), &json!([{"id": 1}]), &[gone]);
        check(&header, Some("products/update"), &json!({"id": 1}), &[r#"{"id":"1"}"#]);
        check(&header, None, &json!({"id": 1}), &[r#"{"id":"1"}"#]);
    }
}
