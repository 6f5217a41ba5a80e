//! `[origins.<name>.changes]`: how an origin's changes are told.

use std::time::Duration;

use toml::Value;
use url::Url;

use crate::{
    config::{
        ChangelogConfig, ChangesConfig, OriginKind, OutboxConfig, Secret, section::Section, values::holds_password,
    },
    listing::definition::VariantProperty,
};

/// A key of the origin's section, for it has a variable: the URL may hold a password.
const URL: &str = "changes_url";

pub(super) fn check(origin: &mut Section<'_>, kind: Option<&OriginKind>) -> ChangesConfig {
    let url = origin.text(URL);
    if url
        .as_deref()
        .is_some_and(|url| Url::parse(url).is_ok_and(|url| holds_password(&url)))
        && origin.report.is_in_file(&origin.path_of(URL))
    {
        origin.error(
            URL,
            "holds a password, and secrets do not stand in the file: set LISTCACHE_ORIGINS__<NAME>__CHANGES_URL or …__CHANGES_URL_FILE",
        );
    }
    let given = origin.take("changes");
    let is_sql = matches!(kind, Some(OriginKind::Sql { .. }) | None);
    if !is_sql {
        for (key, is_given) in [("changes", given.is_some()), (URL, url.is_some())] {
            if is_given {
                origin.error(
                    key,
                    "only a `sql` origin can be asked for changes: POST /v1/changes tells of others",
                );
            }
        }
        return ChangesConfig::default();
    }
    let path = origin.path_of("changes");
    let mut section = Section::new(origin.report, path, given);
    if !section.is_given() {
        if url.is_some() {
            origin.error(URL, "there is no `changes` that it could be for");
        }
        return ChangesConfig::default();
    }
    let lag = section.duration("lag", Duration::ZERO..=Duration::from_secs(3600), Duration::ZERO);
    let every = section.duration(
        "every",
        Duration::from_millis(100)..=Duration::from_secs(3600),
        Duration::from_secs(1),
    );
    let changelog = changelog(&mut section, every);
    let outbox = outbox(&mut section, kind, every);
    section.finish();
    ChangesConfig {
        outbox,
        changelog,
        url: url.map(Secret::new),
        lag,
    }
}

fn changelog(section: &mut Section<'_>, every: Duration) -> Option<ChangelogConfig> {
    let query = section.text("query");
    let of_a_query = ["upto", "overlap"].map(|key| (key, section.holds(key)));
    let upto = section.text("upto");
    let overlap = section.integer("overlap", 0..=1_000_000, 100);
    let Some(query) = query else {
        for (key, _) in of_a_query.into_iter().filter(|(_, is_given)| *is_given) {
            section.error(key, "there is no `query` that it could be for");
        }
        return None;
    };
    if section.holds("outbox") {
        section.error("query", "there is an `outbox` already: one of them");
    }
    // Whether it stands in a text or a comment is found out when the origin is opened.
    if !query.contains(":after") {
        section.error(
            "query",
            "does not name `:after`, the version that was read last: write such as \"select version_id, entity_id from … where version_id > :after \
             order by 1 limit 1000\"",
        );
    }
    if upto.as_ref().is_some_and(|upto| upto.trim().is_empty()) {
        section.error("upto", "empty");
    }
    Some(ChangelogConfig {
        query,
        upto,
        overlap: i64::try_from(overlap).unwrap_or(i64::MAX),
        every,
    })
}

fn outbox(section: &mut Section<'_>, kind: Option<&OriginKind>, every: Duration) -> Option<OutboxConfig> {
    let listen = section.text("listen");
    let is_postgres = matches!(kind, Some(OriginKind::Sql { url, .. }) if url.expose().starts_with("postgres"));
    if let Some(channel) = listen.as_ref().filter(|_| kind.is_some()) {
        if !is_postgres {
            section.error("listen", "is for PostgreSQL only: the others notify nobody");
        } else if !VariantProperty::is_identifier(channel) {
            section.error("listen", "expected the name of a channel: A-Z, a-z, 0-9 and `_`");
        }
    }
    let given: Option<Value> = section.take("outbox");
    let path = section.path_of("outbox");
    let mut table = Section::new(section.report, path, given);
    if !table.is_given() {
        if listen.is_some() {
            section.error("listen", "there is no `outbox` whose rows are notified of");
        }
        return None;
    }
    let mut name = |key: &'static str, what: &str, dotted: bool| {
        let name = table.required_text(key, what)?;
        let fits = VariantProperty::is_identifier(&name) && (dotted || !name.contains('.'));
        if !fits {
            table.error(key, format!("`{name}` is no identifier: A-Z, a-z, 0-9 and `_`"));
        }
        fits.then_some(name)
    };
    let (of_table, key, id) = (
        name(
            "table",
            "the table that triggers write to, such as \"listcache_outbox\"",
            true,
        ),
        name("key", "its column of whole numbers, such as \"id\"", false),
        name("id", "its column of changed items, such as \"product_id\"", false),
    );
    table.finish();
    Some(OutboxConfig {
        table: of_table?,
        key: key?,
        id: id?,
        every,
        listen,
    })
}
