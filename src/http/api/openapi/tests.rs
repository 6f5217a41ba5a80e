//! Routes, names, examples and members in the description.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::config::Sources;

/// The description for a configuration.
pub(super) fn described(config: &str) -> Value {
    let config = Sources::default()
        .load_text(config)
        .unwrap_or_else(|errors| panic!("{errors}"));
    serde_json::from_str(&text(Sizes::new(24, 250), &config.definitions)).unwrap()
}

/// All operations, with their paths.
fn operations(description: &Value) -> Vec<(String, &Value)> {
    let paths = description["paths"].as_object().unwrap().iter();
    let all = paths.map(|(path, item)| (path, item.as_object().unwrap()));
    all.flat_map(|(path, item)| {
        item.iter()
            .map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
    .collect()
}

#[test]
fn every_route_is_described() {
    let description = described("");
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1."));
    for (path, methods) in crate::http::routes::described() {
        for method in methods {
            let method = method.to_lowercase();
            assert!(description["paths"][path][&method].is_object(), "{method} {path}");
        }
    }
}

#[test]
fn every_operation_has_a_good_name_and_an_example() {
    let description = described("");
    let mut names = BTreeSet::new();
    for (operation, described) in operations(&description) {
        let name = described["operationId"].as_str().unwrap();
        assert!(names.insert(name), "{operation}: {name} stands twice");
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphabetic()),
            "{operation}: {name}"
        );
        assert!(
            name.starts_with(|first: char| first.is_ascii_lowercase()),
            "{operation}: {name}"
        );
        assert_eq!(
            operation.starts_with("head "),
            name.starts_with("head"),
            "{operation}: {name}"
        );
        for (media_type, content) in described["responses"]["200"]["content"]
            .as_object()
            .into_iter()
            .flatten()
        {
            assert!(!content["example"].is_null(), "{operation}: no example of {media_type}");
        }
        for parameter in described["parameters"].as_array().into_iter().flatten() {
            let is_example = parameter["in"] != "path" || parameter["example"].is_string();
            assert!(is_example, "{operation}: no example of {parameter}");
        }
    }
    let routes = crate::http::routes::described();
    assert_eq!(
        names.len(),
        routes.iter().map(|(_, methods)| methods.len()).sum::<usize>()
    );
}

#[test]
fn items_are_open_and_what_is_always_there_is_required() {
    let description = described("");
    let schemas = &description["components"]["schemas"];
    assert_eq!(schemas["Item"]["type"], "object");
    assert_eq!(schemas["Item"]["additionalProperties"], true);
    assert_eq!(schemas["PushedItem"]["additionalProperties"], true);
    let optional = |name: &str| {
        let members = schemas[name]["properties"].as_object().unwrap().keys();
        let required = schemas[name]["required"].as_array().unwrap();
        let optional = members.filter(|member| !required.contains(&Value::from(member.as_str())));
        optional.map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(optional("Page"), "facets");
    assert_eq!(optional("Links"), "");
    assert_eq!(optional("About"), "");
    assert_eq!(optional("ListingList"), "");
    assert_eq!(optional("Problem"), "after before detail errors generation line newest");
    assert_eq!(
        optional("Explained"),
        "base changed codec deltas_bytes frozen_until names_error next_change redis redis_refuses"
    );
    let codes = schemas["Problem"]["properties"]["code"]["enum"].as_array().unwrap();
    assert_eq!(codes.len(), crate::http::problem::Kind::ALL.len());
}
