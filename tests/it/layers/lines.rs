//! What no line may say: crates of other layers, `unsafe`, names of Redis keys outside their file.

use super::{layer_of, nothing, sources};

/// Each crate that only some may name.
const CRATES: &[(&str, &[&str])] = &[
    ("actix", &["http", "app"]),
    ("actix_web", &["http", "app"]),
    ("actix_http", &["http", "app"]),
    ("redis", &["store"]),
];

/// Every class of Redis key, as it stands inside a key's name.
const KEY_CLASSES: &[&str] = &[
    "head", "gen", "log", "due", "lease", "names", "reads", "popular", "fail", "last", "meta", "warm-up",
];
const KEYS_FILE: &str = "store/layout/keys.rs";

/// Folders that are compiled for tests only.
const TESTS: &[&str] = &["simulation/", "store/simulated/"];

#[test]
fn only_http_and_app_name_actix_and_only_store_names_redis() {
    check_sources(foreign_crates);
}

#[test]
fn nothing_is_unsafe() {
    check_sources(|source| lines_where(source, "is unsafe", |line| words(line).any(|word| word == "unsafe")));
}

#[test]
fn redis_keys_are_named_in_one_file() {
    check_sources(strange_keys);
}

/// One file of `src`, without comments and unit tests; the lines keep their numbers.
struct Source {
    /// Below `src`, with `/`.
    path: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let mut code = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line == "#[cfg(test)]"
                && lines
                    .peek()
                    .is_some_and(|next| next.starts_with("mod ") && next.ends_with('{'))
            {
                break;
            }
            code.push_str(without_comment(line));
            code.push('\n');
        }
        Self {
            path: path.to_owned(),
            code,
        }
    }
}

fn without_comment(line: &str) -> &str {
    let mut in_text = false;
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        match letter {
            '"' if before != '\\' && before != '\'' => in_text = !in_text,
            '/' if !in_text && before == '/' => return &line[..at - 1],
            _ => {}
        }
        before = letter;
    }
    line
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
        .filter(|word| !word.is_empty())
}

#[track_caller]
fn check_sources(check: impl Fn(&Source) -> Vec<String>) {
    let is_test = |path: &str| path.ends_with("/tests.rs") || TESTS.iter().any(|folder| path.starts_with(folder));
    let sources = sources().into_iter().filter(|(path, _)| !is_test(path));
    nothing(sources.flat_map(|(path, text)| check(&Source::new(&path, &text))));
}

fn lines_where(source: &Source, what: &str, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = source.code.lines().enumerate().filter(|(_, line)| is_bad(line));
    lines
        .map(|(at, line)| format!("src/{}:{} {what}: {}", source.path, at + 1, line.trim()))
        .collect()
}

fn foreign_crates(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, may) in CRATES {
        if may.contains(&layer_of(&source.path)) {
            continue;
        }
        wrong.extend(lines_where(source, &format!("names {name}"), |line| {
            line.match_indices(name).any(|(at, _)| {
                let before = &line[..at];
                let is_path = line[at + name.len()..].starts_with("::");
                let imports = before.trim_end().ends_with("use") && line[at + name.len()..].starts_with([';', ' ']);
                let is_part = before.ends_with(|letter: char| letter.is_alphanumeric() || ":_".contains(letter));
                (is_path || imports) && !is_part
            })
        }));
    }
    wrong
}

fn strange_keys(source: &Source) -> Vec<String> {
    if source.path == KEYS_FILE {
        return Vec::new();
    }
    lines_where(source, "names a Redis key", |line| {
        KEY_CLASSES
            .iter()
            .any(|class| [":", "\""].iter().any(|end| line.contains(&format!(":{class}{end}"))) && line.contains('"'))
    })
}

#[track_caller]
fn check(path: &str, text: &str, expect: &[&str]) {
    let source = Source::new(path, text);
    let mut seen = foreign_crates(&source);
    seen.extend(strange_keys(&source));
    let seen: Vec<_> = seen.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(seen, expect);
}

#[test]
fn a_crate_in_the_wrong_layer_is_seen() {
    check(
        "engine/reading/read.rs",
        "use redis::Value;\n",
        &["src/engine/reading/read.rs:1 names redis"],
    );
    check(
        "engine/reading/read.rs",
        "use actix_web::web;\n",
        &["src/engine/reading/read.rs:1 names actix_web"],
    );
    check("store/read.rs", "use redis::Value;\n", &[]);
    check(
        "engine/reading/read.rs",
        "// as redis::Value does\nlet x = my_redis::f(\"a // b\");\n",
        &[],
    );
    check(
        "engine/reading/read.rs",
        "#[cfg(test)]\nmod tests {\n    use redis::Value;\n}\n",
        &[],
    );
}

#[test]
fn a_key_made_elsewhere_is_seen() {
    check(
        "store/reading/heads.rs",
        "format!(\"{p}:head:{key}\")\n",
        &["src/store/reading/heads.rs:1 names a Redis key"],
    );
    check("store/layout/keys.rs", "format!(\"{p}:head:{key}\")\n", &[]);
}
