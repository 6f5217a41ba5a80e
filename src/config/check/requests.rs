//! The requests of a listing whose origin is an API.

use super::origins::Requests;
use crate::{
    config::{RequestMethod, RequestTemplate, nearest::suggestion, section::Section},
    listing::{
        definition::{Names, Variant},
        pattern::NamePattern,
    },
};

/// The values that reading by pages gives to a request.
const OF_PAGING: [&str; 5] = ["page", "offset", "limit", "cursor", "session"];

/// The values that a request for some items has besides.
const OF_ITEMS: [&str; 2] = ["id", "ids"];

/// The parts of a definition that its requests may name.
pub(super) struct NamedByListing<'d> {
    pub pattern: Option<&'d NamePattern>,
    pub variants: &'d [Variant],
}

impl NamedByListing<'_> {
    /// Parameters of the name, then variants.
    fn parameters(&self) -> impl Iterator<Item = &str> {
        let of_name = self.pattern.iter().flat_map(|pattern| pattern.parameters());
        let of_variants = self.variants.iter().map(|variant| &*variant.parameter);
        of_name.map(|name| &**name).chain(of_variants)
    }
}

/// Checks the requests of a listing's items and of its names.
pub(super) fn check(
    section: &Section<'_>,
    requests: &Requests,
    named: &NamedByListing<'_>,
    query: Option<&str>,
    names: Option<&Names>,
) {
    let of_name = named.pattern.iter().flat_map(|pattern| pattern.parameters());
    for parameter in of_name {
        if OF_PAGING.contains(&&**parameter) {
            section.error(
                "name",
                format!("`{parameter}` is a value of every request to an API: take another name for the parameter"),
            );
        }
    }
    if let Some(query) = query {
        check_items(section, "query", requests, named, query, &[]);
    }
    if let Some(Names::Query(text)) = names {
        let path = section.path_of("names");
        if let Some(request) = parse(section, &path, text) {
            check_values(section, &path, requests, &request, &[]);
        }
    }
}

/// Checks the request that reads some items of a listing alone.
pub(super) fn check_item_query(section: &Section<'_>, requests: &Requests, named: &NamedByListing<'_>, text: &str) {
    let Some(request) = check_items(section, "item_query", requests, named, text, &OF_ITEMS) else {
        return;
    };
    if OF_ITEMS.iter().filter(|name| request.holds(name)).count() != 1 {
        section.error("item_query", "names one of `:id` (one item) and `:ids` (some items)");
    }
    for name in named.parameters().filter(|name| OF_ITEMS.contains(name)) {
        section.error(
            "item_query",
            format!("`{name}` is a value of every such request: take another name for the parameter"),
        );
    }
}

/// Checks a request for items, which names all that tells one listing from another.
fn check_items(
    section: &Section<'_>,
    key: &str,
    requests: &Requests,
    named: &NamedByListing<'_>,
    text: &str,
    besides: &[&str],
) -> Option<RequestTemplate> {
    let path = section.path_of(key);
    let properties: Vec<String> = named
        .variants
        .iter()
        .flat_map(|variant| {
            let properties = variant.properties.iter();
            properties.map(move |property| format!("{}.{}", variant.parameter, property.name))
        })
        .collect();
    let properties: Vec<&str> = properties.iter().map(String::as_str).collect();
    let request = parse(section, &path, text)?.with_properties(|name| properties.contains(&name));
    let parameters: Vec<&str> = named.parameters().collect();
    let known = [&parameters[..], &properties, besides].concat();
    check_values(section, &path, requests, &request, &known);
    let is_named = |name: &str| {
        let of_it = |value: &&str| value.split_once('.').is_some_and(|(variant, _)| variant == name);
        request.holds(name) || request.values().iter().any(of_it)
    };
    for name in parameters {
        if !is_named(name) && !OF_PAGING.contains(&name) {
            section.report.error(
                &path,
                format!("does not name `:{name}`: each of its values would have the same items"),
            );
        }
    }
    Some(request)
}

fn parse(section: &Section<'_>, path: &str, text: &str) -> Option<RequestTemplate> {
    match RequestTemplate::parse(text) {
        Ok(request) => Some(request),
        Err(error) => {
            section.report.error(path, error.to_string());
            None
        }
    }
}

fn check_values(section: &Section<'_>, path: &str, requests: &Requests, request: &RequestTemplate, known: &[&str]) {
    let error = |message: String| section.report.error(path, message);
    if request.method == RequestMethod::Delete {
        error("items are read by GET or POST".to_owned());
    }
    let mut of_paging: Vec<&str> = vec!["limit"];
    of_paging.extend(requests.value);
    if requests.session {
        of_paging.push("session");
    }
    let mut told: Vec<&str> = Vec::new();
    for name in request.values() {
        if known.contains(&name) || of_paging.contains(&name) || told.contains(&name) {
            continue;
        }
        told.push(name);
        if name == "session" {
            error("there is no value `:session`: the origin opens no `session`".to_owned());
        } else if OF_PAGING.contains(&name) {
            error(format!("there is no value `:{name}`: the origin's `paging` is another"));
        } else {
            let suggestion = suggestion(name, known.iter().chain(&of_paging).copied());
            error(format!("there is no value `:{name}`{suggestion}"));
        }
    }
    if let Some(value) = requests.value
        && !request.holds(value)
    {
        error(format!(
            "does not name `:{value}`, by which the origin's pages are read"
        ));
    }
}
