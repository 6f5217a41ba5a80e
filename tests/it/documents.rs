//! The documents tell of the code: what they name is there, and what they must name is in them.

mod architecture;
mod metrics;
mod plain_english;
mod readme;

use std::{collections::BTreeSet, fs, path::Path};

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What stands between back-quotes on one line.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[track_caller]
fn names_all(document: &str, words: impl IntoIterator<Item = String>) {
    let text = text(document);
    let quoted: BTreeSet<&str> = quoted(&text).collect();
    let missing: Vec<String> = words
        .into_iter()
        .filter(|word| !quoted.contains(word.as_str()))
        .collect();
    assert!(missing.is_empty(), "{document} does not name {missing:?}");
}

#[test]
fn tests_that_the_architecture_names_are_there() {
    let text_of_architecture = text("ARCHITECTURE.md");
    let mut named = 0;
    for name in quoted(&text_of_architecture) {
        let Some((file, test)) = name.split_once("::") else {
            continue;
        };
        if !root().join(format!("tests/it/{file}.rs")).exists() {
            // A path of the code.
            continue;
        }
        let source = text(&format!("tests/it/{file}.rs"));
        assert!(source.contains(&format!("fn {test}(")), "no test `{name}`");
        named += 1;
    }
    assert!(named >= 16, "only {named} tests are named");
}

#[test]
fn files_that_the_documents_name_are_there() {
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/redis-layout.md",
        "docs/changes.md",
        "docs/judges.md",
        "docs/operating.md",
        "docs/benchmarks.md",
        "docs/edge/README.md",
        "fixtures/README.md",
    ] {
        let text = text(document);
        for name in quoted(&text) {
            let looks_like_a_file = !name.contains([' ', '<', '*', '{', ':'])
                && [".rs", ".lua", ".toml", ".ndjson.gz"]
                    .iter()
                    .any(|end| name.ends_with(end))
                && name.contains('/');
            let places = ["", "src", "tests/it", "src/http/storefront", "src/config"];
            let is_there = || places.iter().any(|place| root().join(place).join(name).exists());
            assert!(!looks_like_a_file || is_there(), "{document}: no file `{name}`");
        }
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if !link.contains("://") && !path.is_empty() {
                let from = root().join(document);
                assert!(from.parent().unwrap().join(path).exists(), "{document}: no `{path}`");
            }
        }
    }
}

#[test]
fn the_contract_names_every_problem() {
    let source = text("src/http/problem.rs");
    let codes = source
        .split("kind(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    names_all("docs/http.md", codes.map(str::to_owned));
}

#[test]
fn the_layout_names_every_script() {
    let scripts = fs::read_dir(root().join("src/store/scripts")).unwrap();
    let names = scripts.map(|entry| {
        let path = entry.unwrap().path();
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    });
    names_all("docs/redis-layout.md", names);
}

#[test]
fn mutations_are_of_the_code_that_is_there() {
    let folder = fs::read_dir(root().join("tests/mutations")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let mut hunks = 0;
    for patch in paths.filter(|path| path.extension().is_some_and(|extension| extension == "patch")) {
        let patch_text = fs::read_to_string(&patch).unwrap();
        for part in patch_text.split("\n--- a/").skip(1) {
            let (path, changes) = part.split_once('\n').unwrap();
            let source = text(path);
            for hunk in changes.split("\n@@").skip(1) {
                let kept = |line: &&str| line.starts_with([' ', '-']);
                let before: String = hunk
                    .lines()
                    .skip(1)
                    .filter(kept)
                    .map(|line| format!("{}\n", &line[1..]))
                    .collect();
                assert!(
                    source.contains(&before),
                    "{} does not apply to {path}:\n{before}",
                    patch.display()
                );
                hunks += 1;
            }
        }
    }
    assert!(hunks > 5);
}
