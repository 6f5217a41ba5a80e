//! `[origins.<name>]` of the kind `http`: an API.

use base64::{Engine, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use toml::{Table, Value};
use url::Url;

use crate::config::{
    HttpOriginConfig, InvalidPointer, JsonPointer, Paging, RequestMethod, RequestTemplate, Secret, SessionConfig,
    Total,
    nearest::suggestion,
    section::{Section, join, kind},
};

/// The keys that only a section of this kind has.
pub(super) const KEYS: [&str; 18] = [
    "headers",
    "paging",
    "page_size",
    "first_page",
    "items",
    "item",
    "total",
    "total_header",
    "errors",
    "next",
    "next_in_item",
    "session",
    "not_found",
    "retries",
    "response_max",
    "read_max",
    "url",
    "path",
];
const PAGINGS: [&str; 6] = ["none", "page", "offset", "cursor", "url", "link"];
/// Headers that the client sets by itself, or that would change the meaning of an answer.
const HEADERS_OF_THE_CLIENT: [&str; 10] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "if-modified-since",
    "if-none-match",
    "range",
    "te",
    "transfer-encoding",
];
/// Parts of the names of headers whose values are secrets.
const SECRET_PARTS: [&str; 8] = [
    "auth",
    "cookie",
    "credential",
    "key",
    "password",
    "secret",
    "signature",
    "token",
];

pub(super) fn check(section: &mut Section<'_>) -> Option<HttpOriginConfig> {
    if section.take("path").is_some() {
        section.error("path", "an `http` origin has a `url`, no `path`");
    }
    let base = url(section);
    let mut headers = headers(section);
    let paging = paging(section);
    let page_size = section.integer("page_size", 1..=100_000, 100);
    let first_page = section.integer("first_page", 0..=1, 1);
    let items = pointer(section, "items").unwrap_or_default();
    let item = pointer(section, "item").unwrap_or_default();
    let total = total(section);
    let errors = pointer(section, "errors").filter(|pointer| {
        let is_whole_answer = pointer.steps().next().is_none();
        if is_whole_answer {
            section.error(
                "errors",
                "would take each whole answer for an error; write such as \"/errors\"",
            );
        }
        !is_whole_answer
    });
    let session = section.take("session");
    let session = session.and_then(|value| session_of(section, value));
    let not_found_is_empty = match section.text("not_found").as_deref() {
        None | Some("error") => false,
        Some("empty") => true,
        Some(other) => {
            section.error("not_found", format!("expected \"error\" or \"empty\", found `{other}`"));
            false
        }
    };
    let retries = section.integer("retries", 0..=20, 3);
    let response_bytes_max = section.size("response_max", 1024..=1 << 30, 16 << 20);
    let read_bytes_max = section.size("read_max", 1024..=16 << 30, 256 << 20);
    if read_bytes_max < response_bytes_max {
        section.error("read_max", "less than response_max: a read has at least one response");
    }
    let (url, authorization) = base?;
    if let Some(authorization) = authorization {
        if headers.iter().any(|(name, _)| **name == *"authorization") {
            section.error(
                "url",
                "holds a user, and there is also a header `authorization`: give only one of them",
            );
        }
        headers.push(("authorization".into(), authorization));
    }
    Some(HttpOriginConfig {
        url,
        headers,
        paging: paging?,
        page_size,
        first_page,
        items,
        item,
        total,
        errors,
        session,
        not_found_is_empty,
        retries: u32::try_from(retries).unwrap_or(u32::MAX),
        response_bytes_max,
        read_bytes_max,
    })
}

/// The URL without user and password, and the header that these are sent in.
fn url(section: &mut Section<'_>) -> Option<(Url, Option<Secret>)> {
    let text = section.required_text("url", "such as \"https://api.example.com/v2\"")?;
    // Says nothing of the URL's text, for it may hold a password.
    let mut url = match Url::parse(&text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => url,
        _ => {
            section.error(
                "url",
                "no URL of an API; write \"https://HOST/PATH\" or \"http://HOST:PORT\"",
            );
            return None;
        }
    };
    if url.query().is_some() || url.fragment().is_some() {
        section.error(
            "url",
            "ends with its path: a query belongs in the requests, and a secret in a header",
        );
    }
    let has_user = !url.username().is_empty() || url.password().is_some();
    if has_user && section.report.is_in_file(&section.path_of("url")) {
        section.error(
            "url",
            "holds a user or password, and secrets do not stand in the file: set LISTCACHE_ORIGINS__<NAME>__URL or …__URL_FILE",
        );
    }
    let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [
        decoded(url.username()),
        b":".to_vec(),
        decoded(url.password().unwrap_or_default()),
    ];
    let authorization = has_user.then(|| Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair.concat()))));
    // A URL with a host takes both.
    let _ = (url.set_username(""), url.set_password(None));
    Some((url, authorization))
}

fn headers(section: &mut Section<'_>) -> Vec<(Box<str>, Secret)> {
    let report = section.report;
    let path = section.path_of("headers");
    let table = match section.take("headers") {
        None => Table::new(),
        Some(Value::Table(table)) => table,
        Some(other) => {
            section.error("headers", format!("expected a table, found {}", kind(&other)));
            Table::new()
        }
    };
    let mut headers: Vec<(Box<str>, Secret)> = Vec::new();
    for (key, value) in table {
        let path = join(&path, &key);
        let in_file = report.is_in_file(&path);
        // A variable's name cannot spell `-`.
        let name = if in_file {
            key.to_ascii_lowercase()
        } else {
            key.replace('_', "-")
        };
        let Some(value) = report.text(&path, value) else {
            continue;
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || !name.bytes().all(is_name) {
            report.error(&path, format!("`{name}` is no name of a header"));
        } else if HEADERS_OF_THE_CLIENT.contains(&&*name) {
            report.error(&path, format!("`{name}` is set by the program itself"));
        } else if in_file && SECRET_PARTS.iter().any(|part| name.contains(part)) {
            let variable = name.to_ascii_uppercase().replace('-', "_");
            report.error(
                &path,
                format!(
                    "looks like a secret, and secrets do not stand in the file: set \
                     LISTCACHE_ORIGINS__<NAME>__HEADERS__{variable} or …__{variable}_FILE"
                ),
            );
        } else if value.is_empty() || !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            // The value itself is not told: it may be a secret.
            report.error(&path, "the value of a header is visible ASCII characters and spaces");
        } else if let Some(before) = headers.iter_mut().find(|(before, _)| **before == *name) {
            // Given in both: the value from outside the file wins.
            if !in_file {
                before.1 = Secret::new(value);
            }
        } else {
            headers.push((name.into(), Secret::new(value)));
        }
    }
    headers
}

fn paging(section: &mut Section<'_>) -> Option<Paging> {
    let says = "how an answer leads to the next: \"none\", \"page\", \"offset\", \"cursor\", \"url\" or \"link\"";
    let given = section.required_text("paging", says);
    let (next, in_item) = (pointer(section, "next"), pointer(section, "next_in_item"));
    let given = given?;
    let takes = |takes_next: bool, takes_in_item: bool| {
        for (key, found, taken) in [
            ("next", next.is_some(), takes_next),
            ("next_in_item", in_item.is_some(), takes_in_item),
        ] {
            if found && !taken {
                section.error(key, format!("paging by \"{given}\" takes no `{key}`"));
            }
        }
    };
    takes(matches!(&*given, "cursor" | "url"), given == "cursor");
    Some(match (&*given, next, in_item) {
        ("none", ..) => Paging::None,
        ("page", ..) => Paging::Page,
        ("offset", ..) => Paging::Offset,
        ("link", ..) => Paging::Link,
        ("cursor", Some(next), None) => Paging::Cursor(next),
        ("cursor", None, Some(in_item)) => Paging::LastItem(in_item),
        ("cursor", Some(_), Some(_)) => {
            section.error("next_in_item", "there is a `next` already: one of them");
            return None;
        }
        ("cursor", None, None) => {
            section.error(
                "next",
                "missing: a JSON pointer to the cursor, such as \"/meta/next\"; or `next_in_item` where the last item holds it",
            );
            return None;
        }
        ("url", Some(next), _) => Paging::Url(next),
        ("url", None, _) => {
            section.error(
                "next",
                "missing: a JSON pointer to the next page's URL, such as \"/links/next\"",
            );
            return None;
        }
        (other, ..) => {
            let suggestion = suggestion(other, PAGINGS);
            section.error("paging", format!("`{other}` is unknown: {says}{suggestion}"));
            return None;
        }
    })
}

fn total(section: &mut Section<'_>) -> Option<Total> {
    let pointer = pointer(section, "total");
    let header = section.text("total_header");
    if pointer.is_some() && header.is_some() {
        section.error("total_header", "there is a `total` already: one of them");
    }
    let is_name =
        |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if header.as_ref().is_some_and(|name| !is_name(name)) {
        section.error("total_header", "no name of a header, such as \"x-total-count\"");
    }
    pointer
        .map(Total::Pointer)
        .or_else(|| header.map(|name| Total::Header(name.to_ascii_lowercase().into())))
}

fn session_of(section: &Section<'_>, value: Value) -> Option<SessionConfig> {
    let mut session = Section::new(section.report, section.path_of("session"), Some(value));
    if !session.is_given() {
        return None;
    }
    let open = request(&mut session, "open", "the request that opens it", false);
    let id = match session.holds("id") {
        true => pointer(&mut session, "id"),
        false => {
            session.error(
                "id",
                "missing: a JSON pointer to its id in the answer to `open`, such as \"/id\"",
            );
            None
        }
    };
    let renewed = pointer(&mut session, "renewed");
    let close = session.holds("close");
    let close = close.then(|| request(&mut session, "close", "the request that closes it", true));
    // Both are known now, whether they stand there or not.
    let _ = (session.take("id"), session.take("close"));
    session.finish();
    Some(SessionConfig {
        open: open?,
        id: id?,
        renewed,
        close: close.flatten(),
    })
}

/// A request of a session; the only value there is, is the session's own, and only once it is open.
fn request(section: &mut Section<'_>, key: &'static str, what: &str, is_open: bool) -> Option<RequestTemplate> {
    let text = section.required_text(key, what)?;
    let request = RequestTemplate::parse(&text).map_err(|error| section.error(key, error.to_string()));
    let request = request.ok()?;
    for value in request.values() {
        if !is_open || value != "session" {
            section.error(key, format!("there is no value `:{value}` here"));
        }
    }
    if !is_open && request.method == RequestMethod::Delete {
        section.error(key, "a session is not opened by DELETE");
    }
    Some(request)
}

fn pointer(section: &mut Section<'_>, key: &'static str) -> Option<JsonPointer> {
    let text = section.text(key)?;
    let pointer = JsonPointer::parse(&text);
    pointer
        .map_err(|error: InvalidPointer| section.error(key, format!("`{text}`: {error}")))
        .ok()
}
