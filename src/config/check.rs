//! From the file's shape to a [`Config`], or every error at once.

mod cdn;
mod changes;
mod fields;
mod filters;
mod hooks;
mod http;
mod http_origin;
mod listings;
mod named;
mod names;
mod origins;
mod policy;
mod pushed;
mod redis_section;
mod requests;
mod sorts;
mod tls;
mod variants;
mod warm;

use toml::Value;

use super::{
    Config, ConfigErrors, Secret,
    raw::Raw,
    section::{Report, Section},
    unknown_variables,
};
use crate::listing::Definitions;

/// The shortest admin token, in bytes: it cannot be guessed over a network.
const TOKEN_BYTES_MIN: usize = 16;

/// Checks everything.
pub(super) fn check(raw: Raw) -> Result<Config, ConfigErrors> {
    if !raw.is_whole {
        return Err(ConfigErrors::new(None, raw.errors));
    }
    let report = Report::new(raw.errors, raw.outside);
    let config = config(&report, raw.table);
    for name in &raw.unknown {
        match unknown_variables::complaint(name, &report.known()) {
            Some(complaint) => report.error(name, complaint),
            None => tracing::debug!(variable = name, "unknown variable: ignored"),
        }
    }
    let errors = report.into_errors();
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(ConfigErrors::new(None, errors))
    }
}

fn config(report: &Report, table: toml::Table) -> Config {
    let mut root = Section::new(report, "", Some(Value::Table(table)));

    let (http, tls) = http::check(Section::new(report, "http", root.take("http")));
    let (admin_listen, admin_token) = admin(Section::new(report, "admin", root.take("admin")));
    if admin_listen.is_some_and(|admin| admin == http.listen && admin.port() != 0) {
        report.error(
            "admin.listen",
            "the same as http.listen: leave it out, or take another port",
        );
    }
    let redis = redis_section::check(Section::new(report, "redis", root.take("redis")));
    let l1 = redis_section::check_l1(Section::new(report, "l1", root.take("l1")));
    let (defaults, defaults_are_clean) =
        policy::check_defaults(Section::new(report, "defaults", root.take("defaults")));
    let origins = origins::check(report, root.take("origins"));
    let defined = listings::check(report, root.take("listings"), &origins, &defaults);
    let pushed = pushed::check(
        Section::new(report, "pushed", root.take("pushed")),
        &defaults,
        defaults_are_clean,
    );
    let mut definitions = Definitions { defined, pushed };
    let cdns = cdn::check(report, root.take("cdn"));
    if !cdns.is_empty() {
        cdn::tag(&mut definitions);
    }
    let hooks = hooks::check(report, root.take("hooks"));
    let warm = warm::check(Section::new(report, "warm", root.take("warm")), &definitions);
    root.finish();

    Config {
        http,
        tls,
        admin_listen,
        admin_token,
        redis,
        l1,
        defaults,
        origins: origins.into_configs(),
        definitions,
        hooks,
        cdns,
        warm,
        ignored: report.warnings(),
    }
}

fn admin(mut section: Section<'_>) -> (Option<std::net::SocketAddr>, Option<Secret>) {
    let listen = section.address("listen");
    let path = section.path_of("token");
    let token = if section.holds("token") && section.report.is_in_file(&path) {
        section.take("token");
        section.error(
            "token",
            "secrets do not stand in the file: set LISTCACHE_TOKEN or LISTCACHE_TOKEN_FILE",
        );
        None
    } else {
        section.text("token")
    };
    if let Some(token) = &token {
        if token.len() < TOKEN_BYTES_MIN {
            section.error("token", format!("too short: at least {TOKEN_BYTES_MIN} bytes"));
        } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            section.error("token", "only visible ASCII characters can stand in a header");
        }
    }
    section.finish();
    (listen, token.map(Secret::new))
}
