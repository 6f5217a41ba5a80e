//! The folders are the architecture: reads the sources, and names the line that breaks it.
//!
//! It sees `crate::` and `super::` paths, grouped imports among them. Comments and a file's unit tests are not read.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of more lines usually holds two concepts.
const LINES_MAX: usize = 450;

/// Each layer with those it may use besides itself; what is not listed (`cli`, `app`, `main`, `lib`) stands around them.
const LAYERS: &[(&str, &[&str])] = &[
    ("listing", &[]),
    // An origin is opened from its part of the configuration.
    ("origin", &["listing", "config", "telemetry"]),
    ("store", &["listing", "telemetry"]),
    ("engine", &["listing", "origin", "store", "config", "telemetry"]),
    ("http", &["listing", "engine", "config", "telemetry"]),
    ("config", &["listing"]),
    ("telemetry", &[]),
];

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
fn no_arrow_points_the_wrong_way() {
    check_sources(wrong_arrows);
}

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

#[test]
fn no_source_file_is_too_long() {
    let long: Vec<_> = files("src")
        .into_iter()
        .chain(files("tests"))
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines:\n{}", long.join("\n"));
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

    /// `store` for `store/reading/heads.rs`, `app` for `app.rs`.
    fn layer(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// How many `super`s lead from this file's module to the crate.
    fn depth(&self) -> usize {
        let parts = self.path.split('/').count();
        if self.path.ends_with("/mod.rs") {
            parts - 1
        } else {
            parts
        }
    }

    fn place(&self, at: usize) -> String {
        let line = self.code[..at].matches('\n').count() + 1;
        format!("src/{}:{line}", self.path)
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
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for path in files("src") {
        let below = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        if below.ends_with("/tests.rs") || TESTS.iter().any(|folder| below.starts_with(folder)) {
            continue;
        }
        broken.extend(check(&Source::new(&below, &fs::read_to_string(&path).unwrap())));
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// All Rust files of a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found.sort();
    found
}

fn lines_where(source: &Source, what: &str, is_bad: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = source.code.lines().enumerate().filter(|(_, line)| is_bad(line));
    lines
        .map(|(at, line)| format!("src/{}:{} {what}: {}", source.path, at + 1, line.trim()))
        .collect()
}

fn wrong_arrows(source: &Source) -> Vec<String> {
    let Some((layer, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == source.layer()) else {
        return Vec::new();
    };
    let mut wrong = Vec::new();
    for (at, module) in used_modules(source) {
        let is_layer = ["cli", "app"].contains(&module) || LAYERS.iter().any(|(name, _)| *name == module);
        if is_layer && module != *layer && !allowed.contains(&module) {
            wrong.push(format!("{} {layer} uses {module}", source.place(at)));
        }
    }
    wrong
}

/// The modules of the crate's top level that the code names, with where.
fn used_modules(source: &Source) -> Vec<(usize, &str)> {
    let code = source.code.as_str();
    let to_crate = "super::".repeat(source.depth());
    let mut used = Vec::new();
    for prefix in ["crate::", to_crate.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let is_part = code[..at].ends_with(|letter: char| letter.is_alphanumeric() || ":_$".contains(letter));
            if !is_part {
                let from = at + prefix.len();
                used.extend(
                    first_names(&code[from..])
                        .into_iter()
                        .map(|(to, name)| (from + to, name)),
                );
            }
        }
    }
    used
}

/// `a` of `a::b`; `a`, `c` of `{a::{b}, c}`.
fn first_names(path: &str) -> Vec<(usize, &str)> {
    let name_at = |at: usize| words(&path[at..]).next().map(|name| (at, name));
    if !path.starts_with('{') {
        return name_at(0).into_iter().collect();
    }
    let mut names = Vec::new();
    let mut depth = 0;
    for (at, letter) in path.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        let starts_name = (letter == '{' || letter == ',') && depth == 1;
        let rest = path[at + 1..].trim_start();
        if starts_name && !rest.starts_with('}') {
            names.extend(name_at(path.len() - rest.len()));
        }
        if depth == 0 {
            break;
        }
    }
    names
}

fn foreign_crates(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, may) in CRATES {
        if may.contains(&source.layer()) {
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
    let mut seen = wrong_arrows(&source);
    seen.extend(foreign_crates(&source));
    seen.extend(strange_keys(&source));
    let seen: Vec<_> = seen.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(seen, expect);
}

#[test]
fn an_arrow_the_wrong_way_is_seen() {
    check("store/reading/heads.rs", "use crate::listing::Head;\n", &[]);
    check(
        "store/reading/heads.rs",
        "\nuse crate::engine::Engine;\n",
        &["src/store/reading/heads.rs:2 store uses engine"],
    );
    check(
        "store/reading/heads.rs",
        "fn f() -> super::super::http::X {}\n",
        &["src/store/reading/heads.rs:1 store uses http"],
    );
    check(
        "store/mod.rs",
        "fn f() -> super::http::X {}\n",
        &["src/store/mod.rs:1 store uses http"],
    );
    check("store/reading/heads.rs", "fn f() -> super::keys::X {}\n", &[]);
    check(
        "http/pages/page.rs",
        "use crate::{\n    engine::{Engine, store},\n    listing::Head,\n    store::Store,\n};\n",
        &["src/http/pages/page.rs:4 http uses store"],
    );
    check("app.rs", "use crate::{store::Store, http::Server};\n", &[]);
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
