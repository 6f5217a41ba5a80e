//! Judges that we did not write: linters, fuzzers of the description, and the rules by which caches downstream reckon.
//! `docs/judges.md` says what each judges and what is left out; `.ci/install judges` installs them.

mod cache_tests;
mod clients;
mod description;
mod lifetimes;
mod states;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// One of our small scripts that drive a judge.
fn script(name: &str) -> PathBuf {
    root().join("tests/judges").join(name)
}

/// A program that `.ci/install judges` has put there.
fn installed(path: &str) -> PathBuf {
    let path = root().join("target/judges").join(path);
    assert!(path.exists(), "{} is missing: run .ci/install judges", path.display());
    path
}

fn python(name: &str) -> Command {
    let mut command = Command::new(installed("venv/bin/python"));
    command.arg(script(name));
    command
}

fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(script(name)).env("NODE_PATH", installed("node_modules"));
    command
}

/// A configuration by which no page is said to be of a Redis that is late, however busy the machine: heads are told of, and not read again.
pub fn patient(config: String) -> String {
    let config = config.replace("[redis]", "[redis]\nread_timeout = \"2s\"");
    format!("{config}\n[l1]\nttl = \"5m\"\n")
}

/// A configuration whose listings of categories have a filter of each kind.
fn filtered(config: String) -> String {
    let more = "brand = {}\nprice_cents = { range = true, steps = [500, 800] }\nsold_out = { as = \"boolean\" }";
    let filtered = config.replace("brand = {}", more);
    assert_ne!(filtered, config);
    filtered
}

/// Gives a judge JSON and takes its verdict, JSON too.
fn ask(command: &mut Command, question: &Value) -> Value {
    let mut judge = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut input = judge.stdin.take().unwrap();
    input.write_all(question.to_string().as_bytes()).unwrap();
    drop(input);
    let said = judge.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success(), "{command:?}: {complaint}");
    serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}\n{complaint}"))
}
