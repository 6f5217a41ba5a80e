//! `[cdn.<name>]`: which caches are purged when listings change.

use std::{sync::Arc, time::Duration};

use toml::Value;
use url::Url;

use super::named::Named;
use crate::{
    config::{
        CdnConfig, CdnDialect, CdnKind, CdnPace, CdnProvider, Secret,
        environment::CDN_TOKEN,
        nearest::suggestion,
        section::{Report, Section},
    },
    listing::{Definitions, Policy, cache_tag},
};

/// One worker each.
const CDNS_MAX: usize = 8;
const ZONE_BYTES_MAX: usize = 64;
const SECOND: Duration = Duration::from_secs(1);

const CDNS: Named = Named {
    section: "cdn",
    example: "cdn.edge",
    what: "a CDN",
    secrets: &[CDN_TOKEN],
};

pub(super) fn check(report: &Report, value: Option<Value>) -> Vec<CdnConfig> {
    let cdns = CDNS.tables(report, value);
    let cdns: Vec<_> = cdns.filter_map(|(name, section)| cdn(section, &name)).collect();
    if cdns.len() > CDNS_MAX {
        report.error("cdn", format!("at most {CDNS_MAX}"));
    }
    cdns
}

fn cdn(mut section: Section<'_>, name: &str) -> Option<CdnConfig> {
    let words = CdnKind::ALL.map(CdnKind::as_str);
    let kind = section.required_text("provider", &format!("one of {}", words.join(", ")))?;
    let Some(kind) = CdnKind::ALL.into_iter().find(|known| known.as_str() == kind) else {
        let suggestion = suggestion(&kind, words);
        section.error(
            "provider",
            format!("expected one of {}, found `{kind}`{suggestion}", words.join(", ")),
        );
        return None;
    };
    let url = url(&mut section, kind);
    let zone = zone(&mut section, kind);
    let token = token(&mut section, kind, name);
    let soft = match kind {
        CdnKind::Fastly | CdnKind::Xkey => section.boolean("soft", true),
        CdnKind::Cloudflare | CdnKind::Bunny | CdnKind::Varnish => false,
    };
    let given = pace_of(&mut section, kind);
    let pace = CdnPace {
        calls_per_second: section.number("calls_per_second", 0.01..=10_000.0, given.calls_per_second),
        burst: u32::try_from(section.integer("burst", 1..=10_000, given.burst.into())).unwrap_or(given.burst),
    };
    let debounce = section.duration("debounce", Duration::ZERO..=60 * SECOND, SECOND);
    let widen_after = section.duration("widen_after", SECOND..=3600 * SECOND, 60 * SECOND);
    section.finish();
    Some(CdnConfig {
        name: name.into(),
        provider: CdnProvider {
            kind,
            url: url?,
            zone: zone?,
            token,
            soft,
        },
        debounce,
        widen_after,
        pace,
    })
}

fn url(section: &mut Section<'_>, kind: CdnKind) -> Option<Url> {
    let usual = match kind {
        CdnKind::Fastly => Some("https://api.fastly.com"),
        CdnKind::Cloudflare => Some("https://api.cloudflare.com/client/v4"),
        CdnKind::Bunny => Some("https://api.bunny.net"),
        CdnKind::Varnish | CdnKind::Xkey => None,
    };
    let text = match usual {
        Some(usual) => section.text("url").unwrap_or_else(|| usual.to_owned()),
        None => section.required_text("url", "where Varnish listens, such as \"http://10.0.0.7:6081\"")?,
    };
    match Url::parse(&text) {
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            section.error("url", "credentials do not stand in the URL");
            None
        }
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.query().is_none() && url.fragment().is_none() => {
            Some(url)
        }
        _ => {
            section.error(
                "url",
                "expected a URL such as \"http://10.0.0.7:6081\", without a query",
            );
            None
        }
    }
}

/// The key of the zone is what the provider calls it.
fn zone(section: &mut Section<'_>, kind: CdnKind) -> Option<Box<str>> {
    let (key, what) = match kind {
        CdnKind::Fastly => ("service", "the id of the service"),
        CdnKind::Cloudflare => ("zone", "the id of the zone"),
        CdnKind::Bunny => ("pull_zone", "the id of the pull zone"),
        CdnKind::Varnish | CdnKind::Xkey => return Some("".into()),
    };
    let zone = section.required_text(key, what)?;
    let fits = (1..=ZONE_BYTES_MAX).contains(&zone.len()) && zone.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !fits {
        section.error(
            key,
            format!("expected {what}: 1 to {ZONE_BYTES_MAX} letters and digits"),
        );
    }
    fits.then(|| zone.into())
}

fn token(section: &mut Section<'_>, kind: CdnKind, name: &str) -> Option<Secret> {
    let variable = format!("LISTCACHE_CDN__{}__TOKEN", name.to_ascii_uppercase());
    let needs = !matches!(kind, CdnKind::Varnish | CdnKind::Xkey);
    // An error shows nothing of the value.
    if section.holds(CDN_TOKEN) && section.report.is_in_file(&section.path_of(CDN_TOKEN)) {
        section.take(CDN_TOKEN);
        section.error(
            CDN_TOKEN,
            format!("secrets do not stand in the file: set {variable} or {variable}_FILE"),
        );
        return None;
    }
    let token = section.text(CDN_TOKEN);
    match &token {
        None if needs => section.error(
            CDN_TOKEN,
            format!("missing: set {variable} or {variable}_FILE to a token that may purge"),
        ),
        Some(token) if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            section.error(CDN_TOKEN, "only visible ASCII characters can stand in a header");
        }
        Some(_) if !needs => section.error(CDN_TOKEN, "Varnish has none: its VCL says which addresses may purge"),
        _ => {}
    }
    token.map(Secret::new)
}

/// The pace that a provider states. Cloudflare's depends on the plan.
fn pace_of(section: &mut Section<'_>, kind: CdnKind) -> CdnPace {
    let pace = |calls_per_second, burst| CdnPace {
        calls_per_second,
        burst,
    };
    match kind {
        // 100,000 purges an hour.
        CdnKind::Fastly => pace(25.0, 100),
        CdnKind::Bunny => pace(5.0, 120),
        CdnKind::Varnish | CdnKind::Xkey => pace(1000.0, 1000),
        CdnKind::Cloudflare => match section.text("plan").as_deref() {
            None | Some("free") => pace(5.0 / 60.0, 25),
            Some("pro") => pace(5.0, 25),
            Some("business") => pace(10.0, 50),
            Some("enterprise") => pace(50.0, 500),
            Some(other) => {
                let plans = ["free", "pro", "business", "enterprise"];
                let suggestion = suggestion(other, plans);
                section.error(
                    "plan",
                    format!("expected one of {}, found `{other}`{suggestion}", plans.join(", ")),
                );
                pace(5.0 / 60.0, 25)
            }
        },
    }
}

/// `http.cdn`: the dialects of CDNs.
pub(super) fn dialects(section: &mut Section<'_>) -> Vec<CdnDialect> {
    let words = CdnDialect::ALL.map(CdnDialect::as_str);
    let given = section.texts("cdn").unwrap_or_default();
    let dialects = given.into_iter().filter_map(|(path, word)| {
        let known = CdnDialect::ALL.into_iter().find(|dialect| dialect.as_str() == word);
        if known.is_none() {
            let suggestion = suggestion(&word, words);
            let complaint = format!("expected one of {}, found `{word}`{suggestion}", words.join(", "));
            section.report.error(&path, complaint);
        }
        known
    });
    let mut dialects: Vec<_> = dialects.collect();
    dialects.dedup();
    dialects
}

/// Pages of a service that purges carry the tags of their definition and of all pages too.
pub(super) fn tag(definitions: &mut Definitions) {
    let tagged = |policy: &mut Arc<Policy>, tag: &str| {
        let policy = Arc::make_mut(policy);
        let all = format!("{tag} {} {}", cache_tag::ALL, policy.surrogate_keys);
        policy.surrogate_keys = all.trim_end().into();
    };
    for definition in &mut definitions.defined {
        let definition = Arc::make_mut(definition);
        let tag = cache_tag::of_definition(&definition.pattern);
        tagged(&mut definition.policy, &tag);
    }
    tagged(&mut definitions.pushed.policy, cache_tag::PUSHED);
}
