//! The sources of values, and their order. The examples in `fixtures/config` test the content of files.

use std::{io::Write, time::Duration};

use super::*;
use crate::listing::{
    Policy,
    definition::{Descending, Links, Names},
};

const SHOP: &str = r#"
[origins.shop]
kind = "sql"
url = "sqlite:catalogue.db"

[[listings]]
name = "category:{category}"
origin = "shop"
query = "select id, price, name from products where category = :category"
names = ["A", "B"]
links = "plain"
fresh_for = "30s"
[listings.sorts]
zebra = { by = ["price desc"] }
apple = { by = ["name"], desc = false }
mango = { by = ["name"], desc_by = ["name desc", "price"] }
"#;

fn sources(variables: &[(&str, &str)], flags: &[(&'static str, &'static str, &str)]) -> Sources {
    Sources {
        file: None,
        environment: variables.iter().copied().collect(),
        flags: flags
            .iter()
            .map(|(key, name, value)| Flag {
                key,
                name,
                value: (*value).to_owned(),
            })
            .collect(),
    }
}

fn good(text: &str, variables: &[(&str, &str)]) -> Config {
    sources(variables, &[])
        .load_text(text)
        .unwrap_or_else(|errors| panic!("{errors}"))
}

#[track_caller]
fn bad(text: &str, variables: &[(&str, &str)], expect: &[&str]) {
    let errors = sources(variables, &[]).load_text(text).unwrap_err();
    let found: Vec<_> = errors.errors.iter().map(ToString::to_string).collect();
    assert_eq!(found, expect);
}

#[test]
fn nothing_means_the_defaults() {
    let config = good("", &[]);
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.http.size_default, config.http.size_max), (24, 250));
    assert_eq!(config.redis.url.expose(), "redis://127.0.0.1:6379");
    assert_eq!(config.l1.chunks_bytes_max, 256 << 20);
    assert_eq!(config.defaults, Policy::default());
    assert!(config.definitions.defined.is_empty() && config.definitions.pushed.names.is_empty());
    assert_eq!(
        config.definitions.pushed.policy.keep_for,
        Duration::from_secs(30 * 24 * 3600)
    );
    assert!(config.admin_token.is_none() && config.admin_listen.is_none());
}

#[test]
fn a_definition_is_as_the_file_says() {
    let config = good(SHOP, &[]);
    let definition = &config.definitions.defined[0];
    // In the file's order, not the alphabet's: the first is the default.
    let sorts: Vec<_> = definition.sorts.iter().map(|sort| sort.name.as_str()).collect();
    assert_eq!(sorts, ["zebra", "apple", "mango"]);
    assert!(definition.sorts[0].by[0].descending);
    assert_eq!(definition.sorts[1].desc, Descending::Refused);
    assert!(matches!(&definition.sorts[2].desc, Descending::Own(by) if by.len() == 2));
    assert_eq!(definition.names, Some(Names::List(vec!["A".into(), "B".into()])));
    assert_eq!(definition.links, Links::Plain);
    assert_eq!(definition.policy.fresh_for, Duration::from_secs(30));
    assert_eq!(definition.policy.keep_for, Policy::default().keep_for);
    assert_eq!(definition.id.as_str(), "id");
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
    let file = "[http]\nlisten = \"127.0.0.1:1\"";
    let env = ("LISTCACHE_HTTP__LISTEN", "127.0.0.1:2");
    assert_eq!(good(file, &[]).http.listen.port(), 1);
    assert_eq!(good(file, &[env]).http.listen.port(), 2);
    let flag = [("http.listen", "--listen", "127.0.0.1:3")];
    assert_eq!(sources(&[env], &flag).load_text(file).unwrap().http.listen.port(), 3);
}

#[test]
fn the_environment_sets_every_type() {
    let config = good(
        SHOP,
        &[
            ("LISTCACHE_HTTP__SIZE_DEFAULT", "12"),
            ("LISTCACHE_HTTP__ACCESS_LOG", "true"),
            ("LISTCACHE_L1__CHUNKS_MAX", "64MiB"),
            ("LISTCACHE_DEFAULTS__KEEP_FOR", "2h"),
            ("LISTCACHE_DEFAULTS__MAX_SHRINK", "0.25"),
            ("LISTCACHE_DEFAULTS__SURROGATE_KEYS", "shop:fi, bread"),
            ("LISTCACHE_DEFAULTS__MAX_ITEMS", "2_000"),
            ("LISTCACHE_ORIGINS__SHOP__URL", "sqlite:other.db"),
            ("LISTCACHE_PUSHED__NAMES", "promo:*, sale:*"),
            ("LISTCACHE_TOKEN", "0123456789abcdef"),
            ("PATH", "/bin"),
        ],
    );
    assert_eq!(config.http.size_default, 12);
    assert!(config.http.access_log);
    assert_eq!(config.l1.chunks_bytes_max, 64 << 20);
    assert_eq!(&*config.defaults.surrogate_keys, "shop:fi bread");
    assert_eq!(config.defaults.max_shrink, 0.25);
    assert_eq!(config.defaults.max_items, 2000);
    assert_eq!(config.definitions.defined[0].policy.keep_for, Duration::from_secs(7200));
    assert!(matches!(&config.origins[0].kind, OriginKind::Sql { url, .. } if url.expose() == "sqlite:other.db"));
    assert!(config.definitions.pushed.names.is_match("sale:today"));
    assert_eq!(config.admin_token.unwrap().expose(), "0123456789abcdef");
    let list = good("", &[("LISTCACHE_PUSHED__NAMES", "[\"{a,b}:*\"]")]);
    assert!(list.definitions.pushed.names.is_match("b:x"));
}

#[test]
fn the_environment_may_declare_an_origin() {
    let config = good(
        "",
        &[
            ("LISTCACHE_ORIGINS__SHOP__KIND", "sql"),
            ("LISTCACHE_ORIGINS__SHOP__URL", "sqlite:catalogue.db"),
        ],
    );
    assert_eq!(&*config.origins[0].name, "shop");
}

#[test]
fn an_error_says_which_variable_or_flag() {
    bad(
        "",
        &[
            ("LISTCACHE_HTTP__SIZE_DEFAULT", "many"),
            ("LISTCACHE_HTTP__SIZE_MAXX", "1"),
            ("LISTCACHE_LISTINGS__0__NAME", "x"),
            ("LISTCACHE_REDIS_URL", "redis://localhost"),
            ("LISTCACHE_SERVICE_HOST", "10.96.0.7"),
            ("LISTCACHE_TOKEN", "short"),
        ],
        &[
            "http.size_default (LISTCACHE_HTTP__SIZE_DEFAULT): expected an integer, found `many`",
            "http.size_maxx (LISTCACHE_HTTP__SIZE_MAXX): unknown key; did you mean `size_max`?",
            "admin.token (LISTCACHE_TOKEN): too short: at least 16 bytes",
            "LISTCACHE_LISTINGS__0__NAME: unknown variable; listings are declared in the file only",
            "LISTCACHE_REDIS_URL: unknown variable; did you mean `LISTCACHE_REDIS__URL`?",
        ],
    );
    let errors = sources(&[], &[("http.listen", "--listen", "8080")])
        .load_text("")
        .unwrap_err();
    assert!(
        errors.errors[0]
            .to_string()
            .starts_with("http.listen (--listen): `8080` is no address")
    );
}

#[test]
fn a_secret_may_lie_in_a_file() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "redis://:hunter2@cache:6379").unwrap();
    let path = file.path().to_str().unwrap();
    let config = good("", &[("LISTCACHE_REDIS__URL_FILE", path)]);
    assert_eq!(config.redis.url.expose(), "redis://:hunter2@cache:6379");
    assert!(!format!("{config:?}").contains("hunter2"));

    bad(
        "",
        &[
            ("LISTCACHE_REDIS__URL_FILE", path),
            ("LISTCACHE_REDIS__URL", "redis://cache"),
        ],
        &["LISTCACHE_REDIS__URL_FILE: set together with the variable without `_FILE`: one of them"],
    );
    bad(
        "",
        &[("LISTCACHE_TOKEN_FILE", "/no/such/file")],
        &["LISTCACHE_TOKEN_FILE: cannot read `/no/such/file`: No such file or directory (os error 2)"],
    );
}

#[test]
fn a_password_may_come_from_the_environment_but_not_stand_in_the_file() {
    let url = "redis://:hunter2@cache:6379";
    assert_eq!(good("", &[("LISTCACHE_REDIS__URL", url)]).redis.url.expose(), url);
    let errors = sources(&[], &[])
        .load_text(&format!("redis.url = \"{url}\""))
        .unwrap_err();
    assert!(!errors.to_string().contains("hunter2"));
}

#[test]
fn a_named_file_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("shop.toml");
    let named = Sources {
        file: Some(file.clone()),
        ..Sources::default()
    };
    let text = named.load().unwrap_err().to_string();
    assert!(text.contains("cannot read the configuration file"), "{text}");
    std::fs::write(&file, SHOP).unwrap();
    assert_eq!(named.load().unwrap().definitions.defined.len(), 1);

    let by_environment = sources(&[("LISTCACHE_CONFIG", file.to_str().unwrap())], &[]);
    assert_eq!(by_environment.load().unwrap().definitions.defined.len(), 1);
    let both = Sources {
        file: Some(dir.path().join("other.toml")),
        ..by_environment
    };
    assert_eq!(both.file_to_read(), ConfigFile::Named(dir.path().join("other.toml")));
    assert_eq!(
        Sources::default().file_to_read(),
        ConfigFile::Default(DEFAULT_FILE.into())
    );
}

#[test]
fn names_may_stand_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("names.txt");
    let shop = SHOP.replace(
        "names = [\"A\", \"B\"]",
        &format!("names_file = {:?}", file.to_str().unwrap()),
    );
    std::fs::write(&file, "A\n\nB & C\r\n").unwrap();
    let config = good(&shop, &[]);
    let expect = Names::File(file.to_str().unwrap().into());
    assert_eq!(config.definitions.defined[0].names, Some(expect));

    std::fs::write(&file, "\u{feff}A\n\nA\n").unwrap();
    bad(&shop, &[], &["listings[0].names_file line 3: `A` stands twice"]);
}

#[test]
fn secrets_of_an_api_come_from_outside_the_file_and_show_nowhere() {
    const API: &str = r#"
        [origins.shop]
        kind = "http"
        url = "https://api.example.com/v2"
        paging = "none"
        headers = { Accept-Language = "de", x-shop = "1" }
    "#;
    let config = good(
        API,
        &[
            ("LISTCACHE_ORIGINS__SHOP__HEADERS__X_API_KEY", "hunter2"),
            ("LISTCACHE_ORIGINS__SHOP__HEADERS__X_SHOP", "2"),
            (
                "LISTCACHE_ORIGINS__SHOP__URL",
                "https://us%40er:hunter3@api.example.com/v3",
            ),
        ],
    );
    let OriginKind::Http(api) = &config.origins[0].kind else {
        panic!("no API");
    };
    assert_eq!(api.url.as_str(), "https://api.example.com/v3");
    let mut headers: Vec<_> = api
        .headers
        .iter()
        .map(|(name, value)| (&**name, value.expose()))
        .collect();
    headers.sort_unstable();
    assert_eq!(
        headers,
        [
            ("accept-language", "de"),
            // "us@er:hunter3"
            ("authorization", "Basic dXNAZXI6aHVudGVyMw=="),
            ("x-api-key", "hunter2"),
            ("x-shop", "2"),
        ]
    );
    assert!(!format!("{config:?}").contains("hunter"));

    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "Bearer hunter2").unwrap();
    let path = file.path().to_str().unwrap();
    let config = good(API, &[("LISTCACHE_ORIGINS__SHOP__HEADERS__AUTHORIZATION_FILE", path)]);
    assert!(matches!(&config.origins[0].kind, OriginKind::Http(api)
        if api.headers.iter().any(|(name, value)| **name == *"authorization" && value.expose() == "Bearer hunter2")));
    bad(
        API,
        &[("LISTCACHE_ORIGINS__SHOP__HEADERS__AUTHORIZATION", "hunter2\n")],
        &[
            "origins.shop.headers.authorization (LISTCACHE_ORIGINS__SHOP__HEADERS__AUTHORIZATION): \
           the value of a header is visible ASCII characters and spaces",
        ],
    );
}

#[test]
fn secrets_of_a_hook_come_from_the_environment_or_files() {
    const HOOK: &str = "[hooks.shop]\nsignature = { header = \"X-Signature\" }\nids = [\"/id\"]";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "hunter2-hunter2-hunter2").unwrap();
    let path = file.path().to_str().unwrap();
    let config = good(
        HOOK,
        &[
            ("LISTCACHE_HOOKS__SHOP__SECRET_2_FILE", path),
            ("LISTCACHE_HOOKS__SHOP__SECRET", "hunter3-hunter3-hunter3"),
        ],
    );
    let secrets: Vec<_> = config.hooks[0].secrets.iter().map(Secret::expose).collect();
    assert_eq!(secrets, ["hunter3-hunter3-hunter3", "hunter2-hunter2-hunter2"]);
    assert!(!format!("{config:?}").contains("hunter"));
    // The second alone will do: the first was taken away.
    assert_eq!(
        good(HOOK, &[("LISTCACHE_HOOKS__SHOP__SECRET_2_FILE", path)]).hooks[0]
            .secrets
            .len(),
        1
    );
    bad(
        HOOK,
        &[
            ("LISTCACHE_HOOKS__SHOP__SECRET", "short"),
            ("LISTCACHE_HOOKS__SHPO__SECRET", "hunter2-hunter2-hunter2"),
            ("LISTCACHE_HOOKS__SHOP__SECRETS", "hunter2-hunter2-hunter2"),
            ("LISTCACHE_HOOKS__SHOP__IDS", "x"),
        ],
        &[
            "hooks.shop.secret (LISTCACHE_HOOKS__SHOP__SECRET): too short: at least 16 bytes",
            "hooks.shpo: LISTCACHE_HOOKS__SHPO__SECRET is its secret, and the file has no [hooks.shpo]: is the variable's name right?",
            "LISTCACHE_HOOKS__SHOP__IDS: unknown variable; of a hook only the secrets are variables: \
             LISTCACHE_HOOKS__<NAME>__SECRET and …__SECRET_2, or …_FILE",
            "LISTCACHE_HOOKS__SHOP__SECRETS: unknown variable; did you mean `LISTCACHE_HOOKS__SHOP__SECRET`?",
        ],
    );
    bad(
        HOOK,
        &[],
        &[
            "hooks.shop.secret: missing: set LISTCACHE_HOOKS__SHOP__SECRET or LISTCACHE_HOOKS__SHOP__SECRET_FILE to the secret that the sender \
             signs with",
        ],
    );
}

#[test]
fn tokens_of_a_cdn_come_from_the_environment_or_files() {
    const CDN: &str = "[cdn.edge]\nprovider = \"fastly\"\nservice = \"abc\"";
    let token = |config: &Config| config.cdns[0].provider.token.clone().unwrap().expose().to_owned();
    let config = good(CDN, &[("LISTCACHE_CDN__EDGE__TOKEN", "hunter2")]);
    assert_eq!(token(&config), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"), "it is in a log");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "hunter3\n").unwrap();
    let config = good(CDN, &[("LISTCACHE_CDN__EDGE__TOKEN_FILE", file.to_str().unwrap())]);
    assert_eq!(token(&config), "hunter3");
    bad(
        &format!("{CDN}\ntoken = \"hunter2\""),
        &[
            ("LISTCACHE_CDN__EGDE__TOKEN", "hunter2"),
            ("LISTCACHE_CDN__EDGE__TOKENS", "hunter2"),
            ("LISTCACHE_CDN__EDGE__SERVICE", "x"),
        ],
        &[
            "cdn.edge.token: secrets do not stand in the file: set LISTCACHE_CDN__EDGE__TOKEN or LISTCACHE_CDN__EDGE__TOKEN_FILE",
            "cdn.egde: LISTCACHE_CDN__EGDE__TOKEN is its secret, and the file has no [cdn.egde]: is the variable's name right?",
            "LISTCACHE_CDN__EDGE__SERVICE: unknown variable; of a CDN only the token is a variable: \
             LISTCACHE_CDN__<NAME>__TOKEN, or …_FILE",
            "LISTCACHE_CDN__EDGE__TOKENS: unknown variable; did you mean `LISTCACHE_CDN__EDGE__TOKEN`?",
        ],
    );
}
