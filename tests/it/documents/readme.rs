//! The first page is short, and its examples work as they are pasted.

use std::{fs, process::Command};

use super::text;
use crate::support::demo::Demo;

/// Words before the comparison with others.
const WORDS_MAX: usize = 900;

const DEMO: &str = "http://127.0.0.1:8080";

/// Parts of the answers to the examples, in their order.
const ANSWERS: &[&str] = &[
    "\"offset\":0",
    "\"offset\":2",
    "HTTP/1.1 200",
    "cache-status: ",
    "\n304\n",
    "\"total\":2",
    "\"id\":\"lamp\"",
    "\"state\":\"fresh\"",
    "\n204\n",
];

#[test]
fn the_readme_is_short() {
    let text = text("README.md");
    let (first, _) = text.split_once("\n## Why not").expect("a comparison");
    let words = first.split_whitespace().count();
    assert!(words <= WORDS_MAX, "{words} words");
}

#[test]
fn the_examples_of_the_readme_work_when_pasted() {
    let text = text("README.md");
    let token = text
        .split("LISTCACHE_TOKEN=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let demo = Demo::start_with(&[("LISTCACHE_TOKEN", token.expect("a token"))]);
    let blocks = blocks(&text, "sh");
    assert!(blocks.len() >= 2, "{blocks:?}");
    let said: String = blocks
        .iter()
        .map(|block| paste(&block.replace(DEMO, &demo.url)).unwrap())
        .collect();
    let mut rest = said.as_str();
    for answer in ANSWERS {
        rest = rest
            .split_once(answer)
            .unwrap_or_else(|| panic!("no {answer:?} in its place:\n{said}"))
            .1;
    }
    assert!(!said.contains("urn:listcache:problem"), "{said}");
}

#[test]
fn the_configuration_of_the_readme_is_good() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = blocks(&text("README.md"), "toml");
    assert!(!blocks.is_empty());
    for block in blocks {
        fs::write(directory.path().join("listcache.toml"), block).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_listcache"));
        let checked = command
            .arg("check-config")
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

/// The blocks of a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let after = text.split(&begin).skip(1);
    after
        .filter_map(|rest| Some(rest.split_once("\n```")?.0.to_owned() + "\n"))
        .collect()
}

/// Runs lines in a shell that ends at the first failure; what it said, or why it failed.
fn paste(lines: &str) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    let output = shell
        .args(["-euo", "pipefail", "-c", lines])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!(
        "{}\n{said}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}

#[test]
fn an_example_that_fails_is_seen() {
    let page = "```sh\necho a; false | cat\necho b\n```\n\n```console\n$ false\n```\n\n```sh\necho c\n```\n";
    let blocks = blocks(page, "sh");
    assert_eq!(blocks, ["echo a; false | cat\necho b\n", "echo c\n"]);
    assert!(paste(&blocks[0]).unwrap_err().contains("\na\n"));
    assert_eq!(paste(&blocks[1]), Ok("c\n".to_owned()));
}
