//! Variables that begin with `LISTCACHE_` and set no key: either mistyped, or another program's.
//!
//! Container platforms set variables in each process. For a Service named `listcache`, Kubernetes sets `LISTCACHE_SERVICE_HOST`,
//! `LISTCACHE_PORT_8080_TCP_ADDR` and more; an image may set `LISTCACHE_VERSION`. So a variable is an error only where it is
//! nearly a key.

use std::collections::BTreeSet;

use super::{
    environment::{Environment, PREFIX, TABLES},
    nearest::nearest,
};

const LISTINGS: &str = "listings";
const ORIGINS: &str = "origins";
const HOOKS: &str = "hooks";
const CDNS: &str = "cdn";
/// Keys whose value a file may hold end so.
const SECRETS: [&str; 4] = [".url", ".secret", ".secret_2", ".token"];

/// The error of a variable that sets no key, given the paths of all keys; `None` where it is another program's.
pub(super) fn complaint(name: &str, keys: &BTreeSet<String>) -> Option<String> {
    let bare = name.strip_prefix(PREFIX)?.to_ascii_uppercase();
    if is_of_a_platform(&bare) {
        return None;
    }
    let near = variable_near(&bare, keys);
    if let Some(near) = near {
        return Some(format!("unknown variable; did you mean `{PREFIX}{near}`?"));
    }
    let section = bare.split("__").next().unwrap_or_default();
    match section.to_ascii_lowercase().as_str() {
        LISTINGS => Some("unknown variable; listings are declared in the file only".to_owned()),
        HOOKS => Some(format!(
            "unknown variable; of a hook only the secrets are variables: {PREFIX}HOOKS__<NAME>__SECRET and …__SECRET_2, or …_FILE"
        )),
        CDNS => Some(format!(
            "unknown variable; of a CDN only the token is a variable: {PREFIX}CDN__<NAME>__TOKEN, or …_FILE"
        )),
        table if table == ORIGINS || TABLES.contains(&table) => {
            Some(format!("unknown variable; a key is written {PREFIX}{section}__<KEY>"))
        }
        _ => None,
    }
}

/// The variable of a key whose name is nearly this one. One underscore for two is the commonest slip, so their number does not
/// count.
fn variable_near(bare: &str, keys: &BTreeSet<String>) -> Option<String> {
    let special = [Environment::CONFIG, Environment::TOKEN, Environment::TOKEN_FILE];
    let special = special.into_iter().filter_map(|name| name.strip_prefix(PREFIX));
    let mut variables: Vec<String> = special.map(str::to_owned).collect();
    // Keys of a list have no variables, nor have whole tables, nor those of hooks and CDNs that are no secrets.
    for key in keys.iter().filter(|key| key.contains('.') && !key.contains('[')) {
        let section = key.split('.').next().unwrap_or_default();
        if [HOOKS, CDNS].contains(&section) && !SECRETS.iter().any(|secret| key.ends_with(secret)) {
            continue;
        }
        let variable = key.to_ascii_uppercase().replace('.', "__").replace('-', "_");
        if SECRETS.iter().any(|secret| key.ends_with(secret)) {
            variables.push(format!("{variable}_FILE"));
        }
        variables.push(variable);
    }
    let collapsed: Vec<String> = variables.iter().map(|variable| collapse(variable)).collect();
    let given = collapse(bare);
    let near = nearest(&given, collapsed.iter().map(String::as_str))?;
    let at = collapsed.iter().position(|one| one == near)?;
    variables.into_iter().nth(at)
}

/// Each run of underscores as one.
fn collapse(name: &str) -> String {
    let parts: Vec<&str> = name.split('_').filter(|part| !part.is_empty()).collect();
    parts.join("_")
}

/// Whether Kubernetes or Docker names variables so, for a service whose name begins with `listcache`.
fn is_of_a_platform(bare: &str) -> bool {
    let parts: Vec<&str> = bare.split('_').collect();
    let holds = |pair: [&str; 2]| parts.windows(2).any(|two| two == pair);
    let is_a_port =
        |three: &[&str]| matches!(three, ["PORT", number, "TCP" | "UDP" | "SCTP"] if number.parse::<u16>().is_ok());
    holds(["SERVICE", "HOST"])
        || holds(["SERVICE", "PORT"])
        || parts.last() == Some(&"PORT")
        || parts.windows(3).any(is_a_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: Option<&str>) {
        let keys = [
            "http.listen",
            "redis.url",
            "redis.prefix",
            "l1.ttl",
            "origins.shop.url",
            "hooks.shop.secret",
            "admin.token",
            "listings",
        ];
        let keys = keys.map(str::to_owned).into();
        let complaint = complaint(name, &keys);
        let complaint = complaint
            .as_deref()
            .and_then(|text| text.strip_prefix("unknown variable; "));
        assert_eq!(complaint, expect, "{name}");
    }

    #[test]
    fn a_variable_that_is_nearly_a_key_is_an_error() {
        check("LISTCACHE_REDIS_URL", Some("did you mean `LISTCACHE_REDIS__URL`?"));
        check(
            "LISTCACHE_REDIS_URL_FILE",
            Some("did you mean `LISTCACHE_REDIS__URL_FILE`?"),
        );
        check("LISTCACHE_redis__url", Some("did you mean `LISTCACHE_REDIS__URL`?"));
        check("LISTCACHE_RDIS__URL", Some("did you mean `LISTCACHE_REDIS__URL`?"));
        check("LISTCACHE_HTTP_LISTEN", Some("did you mean `LISTCACHE_HTTP__LISTEN`?"));
        check(
            "LISTCACHE_ORIGINS_SHOP_URL",
            Some("did you mean `LISTCACHE_ORIGINS__SHOP__URL`?"),
        );
        check("LISTCACHE_ADMIN_TOKEN", Some("did you mean `LISTCACHE_ADMIN__TOKEN`?"));
        check(
            "LISTCACHE_HOOKS_SHOP_SECRET_FILE",
            Some("did you mean `LISTCACHE_HOOKS__SHOP__SECRET_FILE`?"),
        );
        check("LISTCACHE_TOKEN_FILES", Some("did you mean `LISTCACHE_TOKEN_FILE`?"));
        check("LISTCACHE_CONFG", Some("did you mean `LISTCACHE_CONFIG`?"));
        check("LISTCACHE_REDIS", Some("a key is written LISTCACHE_REDIS__<KEY>"));
        check("LISTCACHE_REDIS__", Some("a key is written LISTCACHE_REDIS__<KEY>"));
        check(
            "LISTCACHE_ORIGINS__SHOP__SESSION__OPEN",
            Some("a key is written LISTCACHE_ORIGINS__<KEY>"),
        );
        check(
            "LISTCACHE_LISTINGS__NAME",
            Some("listings are declared in the file only"),
        );
    }

    #[test]
    fn a_variable_of_another_program_is_none() {
        // Of Services named `listcache`, `listcache-redis` and `listcache-http`, and of a link that Docker makes.
        for name in [
            "LISTCACHE_SERVICE_HOST",
            "LISTCACHE_SERVICE_PORT",
            "LISTCACHE_SERVICE_PORT_HTTP",
            "LISTCACHE_PORT",
            "LISTCACHE_PORT_8080_TCP",
            "LISTCACHE_PORT_8080_TCP_PROTO",
            "LISTCACHE_PORT_8080_TCP_PORT",
            "LISTCACHE_PORT_8080_TCP_ADDR",
            "LISTCACHE_REDIS_SERVICE_HOST",
            "LISTCACHE_REDIS_SERVICE_PORT_REDIS",
            "LISTCACHE_REDIS_PORT",
            "LISTCACHE_REDIS_PORT_6379_TCP_ADDR",
            "LISTCACHE_HTTP_PORT_443_UDP",
            "LISTCACHE_NAME",
            "LISTCACHE_ENV_REDIS_VERSION",
            "LISTCACHE_VERSION",
            "LISTCACHE_HOME",
            "LISTCACHE_",
        ] {
            check(name, None);
        }
    }
}
