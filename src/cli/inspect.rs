//! `inspect`: how a listing lies in Redis.

use std::{collections::BTreeSet, process::ExitCode};

use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use url::Url;

use super::{
    load::{parse_name, parse_sort},
    outcome::{CommandError, Outcome, print, refused},
};
use crate::{
    app::App,
    engine::{Asked, Explanation, InspectedChunk},
    listing::{Item, Timestamp},
};

pub(super) async fn run(app: &App, name: &str, sort: Option<&str>, chunk: Option<u64>, as_json: bool) -> Outcome {
    let name = parse_name(name)?;
    let sort = parse_sort(sort)?;
    let asked = Asked {
        sort: sort.as_ref().map(|sort| sort.as_str()),
        ..Asked::default()
    };
    let doing = || CommandError::engine(format!("cannot inspect `{name}`"));
    let selected = app.engine.pages.selector.select(&name, asked).await;
    // It says which sorts there are.
    let selection = selected.map_err(|error| refused(error, format!("cannot inspect `{name}`")))?;
    if let Some(index) = chunk {
        let chunk = app.engine.inspector.chunk(&selection, index).await.map_err(doing())?;
        return print_chunk(&chunk, index, as_json);
    }
    let found = app.engine.inspector.explain(&selection).await.map_err(doing())?;
    let command = redis_cli(app.config.redis.url.expose(), &found);
    if as_json {
        print(&to_json(&found, &command).to_string())?;
    } else {
        for line in to_lines(&found, &command) {
            print(&line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The items of a chunk, as they are stored.
fn print_chunk(chunk: &InspectedChunk, index: u64, as_json: bool) -> Outcome {
    let InspectedChunk {
        generation,
        chunks,
        items,
    } = chunk;
    let Some(items) = items else {
        return Err(CommandError::Refused(match chunks {
            0 => "the listing has no chunks".to_owned(),
            chunks => format!(
                "the listing has chunks 0 to {}, and chunk {index} is none or lost",
                chunks - 1
            ),
        }));
    };
    let text = |item: &Item| String::from_utf8_lossy(&item.json).into_owned();
    if as_json {
        let items = items
            .iter()
            .map(|item| json!({ "id": item.id.as_str(), "json": text(item) }));
        let found = json!({
            "generation": generation.map(|generation| generation.to_string()),
            "chunk": index,
            "items": items.collect::<Vec<_>>(),
        });
        print(&found.to_string())?;
    } else {
        for item in items {
            print(&format!("{}\t{}", item.id.as_str(), text(item)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn to_lines(found: &Explanation, command: &str) -> Vec<String> {
    let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), Timestamp::rfc3339);
    let items = match found.chunk_len {
        Some(chunk_len) => format!(
            "{} in {} chunks of {chunk_len}",
            HumanCount(found.total),
            HumanCount(found.chunks)
        ),
        None => HumanCount(found.total).to_string(),
    };
    let lease = match &found.lease {
        Some((generation, left)) => format!("held for {generation}, {} ms left", left.as_millis()),
        None => "free".to_owned(),
    };
    let rows = [
        ("listing", found.listing.to_string()),
        ("state", found.state.as_str().to_owned()),
        (
            "generation",
            found
                .generation
                .map_or_else(|| "-".to_owned(), |generation| generation.to_string()),
        ),
        ("items", items),
        ("codec", found.codec.clone().unwrap_or_else(|| "-".to_owned())),
        ("memory", memory(found)),
        ("base", base(found)),
        ("fresh until", time(found.fresh_until)),
        ("next refresh", time(found.next_refresh)),
        ("next change", time(found.next_change)),
        ("lease", lease),
        ("frozen until", time(found.frozen_until)),
        (
            "names error",
            found.names_error.clone().unwrap_or_else(|| "-".to_owned()),
        ),
        ("last error", found.last_error.clone().unwrap_or_else(|| "-".to_owned())),
        ("redis", write_trouble(found)),
        ("head", found.head_key.clone()),
        ("stream", found.stream_key.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    let mut lines: Vec<_> = rows.iter().map(|(what, value)| format!("{what:<13} {value}")).collect();
    lines.push(String::new());
    lines.push(command.to_owned());
    lines
}

/// The memory of each part in Redis.
fn memory(found: &Explanation) -> String {
    let parts = [
        ("stream", found.bytes),
        ("sidecar", found.sidecar_bytes),
        ("changes", found.deltas_bytes),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter_map(|(part, bytes)| Some(format!("{part} {}", HumanBytes(bytes?))))
        .collect();
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    }
}

/// The base of a generation, and the chunks that are not its.
fn base(found: &Explanation) -> String {
    match (&found.base, found.changed.as_deref()) {
        (Some(base), None | Some("")) => format!("{base}, with all its chunks"),
        (Some(base), Some(changed)) => format!("{base}, but for chunks {changed}"),
        (None, _) => "- (the stream holds all chunks)".to_owned(),
    }
}

fn to_json(found: &Explanation, command: &str) -> Value {
    json!({
        "listing": found.listing.name().as_str(),
        "sort": found.listing.stored.to_string(),
        "key": found.listing.to_string(),
        "head_key": found.head_key,
        "stream_key": found.stream_key,
        "generation": found.generation.map(|generation| generation.to_string()),
        "total": found.total,
        "chunk_len": found.chunk_len,
        "chunks": found.chunks,
        "bytes": found.bytes,
        "sidecar_bytes": found.sidecar_bytes,
        "codec": found.codec,
        "base": found.base,
        "deltas_bytes": found.deltas_bytes,
        "changed": found.changed,
        "state": found.state.as_str(),
        "fresh_until": found.fresh_until.map(Timestamp::rfc3339),
        "lease": found.lease.map(|(generation, left)| json!({
            "generation": generation.to_string(), "left_ms": left.as_millis() as u64
        })),
        "next_refresh": found.next_refresh.map(Timestamp::rfc3339),
        "next_change": found.next_change.map(Timestamp::rfc3339),
        "frozen_until": found.frozen_until.map(Timestamp::rfc3339),
        "last_error": found.last_error,
        "names_error": found.names_error,
        "redis": found.redis.as_ref().map(|_| write_trouble(found)),
        "redis_cli": command,
    })
}

/// The trouble with Redis, in its own words if it refuses.
fn write_trouble(found: &Explanation) -> String {
    let Some(trouble) = &found.redis else {
        return "answers (/health/ready of a node lists the commands that it refuses to that node)".to_owned();
    };
    let sentences: BTreeSet<&str> = trouble.refused().iter().map(|refused| &*refused.sentence).collect();
    match sentences.is_empty() {
        true => trouble.as_str().to_owned(),
        false => format!("{}: {}", trouble.as_str(), Vec::from_iter(sentences).join("; ")),
    }
}

/// The command that shows the first two chunks where they are plain, else the head. It holds no password: redis-cli takes that from
/// REDISCLI_AUTH.
fn redis_cli(url: &str, found: &Explanation) -> String {
    let is_plain = found.codec.as_deref().is_none_or(|codec| codec == "plain");
    let what = match found.stream_key.as_ref().filter(|_| is_plain) {
        Some(stream) => format!("XRANGE {} - + COUNT 2", quote(stream)),
        None => format!("HGETALL {}", quote(&found.head_key)),
    };
    let Ok(mut url) = Url::parse(url) else {
        return format!("redis-cli {what}");
    };
    if matches!(url.scheme(), "unix" | "redis+unix") {
        return format!("redis-cli -s {} {what}", quote(url.path()));
    }
    // Only a URL that cannot have a password refuses to lose it.
    let _ = url.set_password(None);
    url.set_query(None);
    format!("redis-cli -u {} {what}", quote(url.as_str()))
}

/// For a POSIX shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        engine::ListingState,
        listing::{Family, ListingName, SortName, StoredSort},
    };

    fn explanation(stream_key: Option<&str>) -> Explanation {
        let family = Family::plain(ListingName::parse("kid's").unwrap());
        Explanation {
            listing: family.listing(StoredSort::ascending(SortName::parse("price").unwrap())),
            head_key: "listcache:2:{07ka}:head:kid's/price".to_owned(),
            stream_key: stream_key.map(str::to_owned),
            generation: None,
            total: 0,
            chunk_len: None,
            chunks: 0,
            bytes: None,
            sidecar_bytes: None,
            deltas_bytes: None,
            codec: None,
            base: None,
            changed: None,
            state: ListingState::Absent,
            fresh_until: Some(Timestamp(1_795_291_200_123)),
            lease: None,
            next_refresh: None,
            next_change: None,
            frozen_until: None,
            last_error: None,
            names_error: None,
            l1: None,
            redis: None,
        }
    }

    #[test]
    fn the_command_can_be_pasted_and_holds_no_password() {
        let found = explanation(None);
        assert_eq!(
            redis_cli("redis://:secret@cache:6379/2", &found),
            r"redis-cli -u 'redis://cache:6379/2' HGETALL 'listcache:2:{07ka}:head:kid'\''s/price'"
        );
        let found = explanation(Some("listcache:2:{07ka}:gen:1-0:x/price"));
        assert_eq!(
            redis_cli("unix:///run/redis.sock?pass=secret", &found),
            "redis-cli -s '/run/redis.sock' XRANGE 'listcache:2:{07ka}:gen:1-0:x/price' - + COUNT 2"
        );
    }

    #[test]
    fn lines_and_json_say_the_same() {
        let found = explanation(None);
        let lines = to_lines(&found, "redis-cli").join("\n");
        assert!(lines.contains("fresh until   2026-11-21T20:00:00.123Z"), "{lines}");
        let json = to_json(&found, "redis-cli");
        assert_eq!(json["fresh_until"], "2026-11-21T20:00:00.123Z");
        assert_eq!(json["state"], "absent");
        assert_eq!(json["listing"], "kid's");
    }
}
