//! The `LISTCACHE_` variables, as a value.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

pub(super) const PREFIX: &str = "LISTCACHE_";
/// The tables whose keys have variables, besides `origins`.
pub(super) const TABLES: [&str; 7] = ["http", "admin", "redis", "l1", "defaults", "pushed", "warm"];
/// The keys of a hook that have variables. The other keys stand in the file only.
pub(super) const HOOK_SECRETS: [&str; 2] = ["secret", "secret_2"];

/// The key of a CDN that has a variable.
pub(super) const CDN_TOKEN: &str = "token";

/// The variables whose names begin with `LISTCACHE_`, by name.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
}

impl Environment {
    /// Where the configuration file lies.
    pub const CONFIG: &str = "LISTCACHE_CONFIG";
    /// The admin token.
    pub const TOKEN: &str = "LISTCACHE_TOKEN";
    /// A file that holds the admin token.
    pub(super) const TOKEN_FILE: &str = "LISTCACHE_TOKEN_FILE";

    /// The variables of this process.
    pub fn of_the_process() -> Self {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value))
            .collect()
    }

    /// The file that `LISTCACHE_CONFIG` names.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.variables.get(Self::CONFIG).map(PathBuf::from)
    }

    /// Whether a variable is set.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Names and values, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &OsString)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<N: Into<String>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    /// Takes the variables of this program out of any; others are none of its business.
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        Self { variables }
    }
}

/// The key that a variable sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// `LISTCACHE_CONFIG`, which says which file is read.
    Config,
    /// A key by its path, or the admin token, which is not a key of the file.
    Key(Vec<String>),
    /// A file that holds the value of a secret key.
    File(Vec<String>),
    /// Nothing that this program knows.
    Unknown,
}

impl Variable {
    /// The key that a variable of this name sets. The check of the section finds out whether the section has it.
    pub(super) fn parse(name: &str) -> Self {
        match name {
            Environment::CONFIG => return Self::Config,
            Environment::TOKEN => return Self::Key(token_path()),
            Environment::TOKEN_FILE => return Self::File(token_path()),
            _ => {}
        }
        let lower = name[PREFIX.len()..].to_ascii_lowercase();
        // Upper case only: two spellings of one key could contradict each other.
        if name.bytes().any(|byte| byte.is_ascii_lowercase()) {
            return Self::Unknown;
        }
        let path: Vec<String> = lower.split("__").map(str::to_owned).collect();
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        match parts[..] {
            ["redis", "url_file"] => Self::File(vec!["redis".into(), "url".into()]),
            ["origins", origin, "url_file"] if !origin.is_empty() => {
                Self::File(vec!["origins".into(), origin.into(), "url".into()])
            }
            ["origins", origin, "changes_url_file"] if !origin.is_empty() => {
                Self::File(vec!["origins".into(), origin.into(), "changes_url".into()])
            }
            ["origins", origin, "headers", header] if !origin.is_empty() && !header.is_empty() => {
                match header.strip_suffix("_file").filter(|header| !header.is_empty()) {
                    Some(header) => Self::File(vec!["origins".into(), origin.into(), "headers".into(), header.into()]),
                    None => Self::Key(path),
                }
            }
            ["hooks", hook, key] if !hook.is_empty() => match key.strip_suffix("_file") {
                Some(key) if HOOK_SECRETS.contains(&key) => Self::File(vec!["hooks".into(), hook.into(), key.into()]),
                _ if HOOK_SECRETS.contains(&key) => Self::Key(path),
                _ => Self::Unknown,
            },
            ["cdn", cdn, CDN_TOKEN] if !cdn.is_empty() => Self::Key(path),
            ["cdn", cdn, "token_file"] if !cdn.is_empty() => {
                Self::File(vec!["cdn".into(), cdn.into(), CDN_TOKEN.into()])
            }
            [table, key] if TABLES.contains(&table) && !key.is_empty() => Self::Key(path),
            ["defaults", "redis_down", key] if !key.is_empty() => Self::Key(path),
            ["origins", origin, key] if !origin.is_empty() && !key.is_empty() => Self::Key(path),
            _ => Self::Unknown,
        }
    }
}

/// The path under which the admin token is checked.
fn token_path() -> Vec<String> {
    vec!["admin".into(), "token".into()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expect: Variable) {
        assert_eq!(Variable::parse(name), expect, "{name}");
    }

    #[test]
    fn a_variable_names_a_key() {
        let key = |path: &str| Variable::Key(path.split('.').map(str::to_owned).collect());
        let file = |path: &str| Variable::File(path.split('.').map(str::to_owned).collect());
        check("LISTCACHE_CONFIG", Variable::Config);
        check("LISTCACHE_TOKEN", key("admin.token"));
        check("LISTCACHE_TOKEN_FILE", file("admin.token"));
        check("LISTCACHE_REDIS__URL", key("redis.url"));
        check("LISTCACHE_REDIS__URL_FILE", file("redis.url"));
        check("LISTCACHE_DEFAULTS__FRESH_FOR", key("defaults.fresh_for"));
        check(
            "LISTCACHE_DEFAULTS__REDIS_DOWN__DIRECT",
            key("defaults.redis_down.direct"),
        );
        check("LISTCACHE_ORIGINS__MY_SHOP__URL", key("origins.my_shop.url"));
        check("LISTCACHE_ORIGINS__SHOP__URL_FILE", file("origins.shop.url"));
        check(
            "LISTCACHE_ORIGINS__SHOP__HEADERS__X_API_KEY",
            key("origins.shop.headers.x_api_key"),
        );
        check(
            "LISTCACHE_ORIGINS__SHOP__HEADERS__AUTHORIZATION_FILE",
            file("origins.shop.headers.authorization"),
        );
        check("LISTCACHE_HOOKS__SHOP__SECRET", key("hooks.shop.secret"));
        check("LISTCACHE_HOOKS__SHOP__SECRET_2_FILE", file("hooks.shop.secret_2"));
    }

    #[test]
    fn other_variables_name_nothing() {
        for name in [
            "LISTCACHE_",
            "LISTCACHE_REDIS",
            "LISTCACHE_REDIS_URL",
            "LISTCACHE_REDIS__",
            "LISTCACHE_ADMIN_TOKEN",
            "LISTCACHE_LISTINGS__NAME",
            "LISTCACHE_ORIGINS__URL",
            "LISTCACHE_ORIGINS__SHOP__HEADERS__",
            "LISTCACHE_ORIGINS__SHOP__SESSION__OPEN",
            "LISTCACHE_HOOKS__SECRET",
            "LISTCACHE_HOOKS__SHOP__IDS",
            "LISTCACHE_HOOKS____SECRET",
            "LISTCACHE_redis__url",
            "LISTCACHE_REDIS__URL__X",
        ] {
            check(name, Variable::Unknown);
        }
    }
}
