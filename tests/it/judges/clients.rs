//! Clients that other programs generate from `/openapi.json`: they compile, and ask a running service.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Output},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{description::description, filtered, installed, patient, script};
use crate::support::{
    RedisServer,
    service::{Service, Shop},
};

/// One of the pinned JavaScript programs, run by the pinned Node.js.
fn program(name: &str, directory: &Path) -> Command {
    let mut command = Command::new(installed("node_modules/.bin/node"));
    command
        .arg(installed("node_modules/.bin").join(name))
        .current_dir(directory);
    command
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// A directory with both clients of the service's description, and with our programs beside them.
async fn generated(service: &Service) -> TempDir {
    let directory = TempDir::new().unwrap();
    let path = directory.path();
    description(service, &directory).await;
    std::os::unix::fs::symlink(installed("node_modules"), path.join("node_modules")).unwrap();
    for name in ["program.ts", "undeclared.ts"] {
        std::fs::copy(script("clients").join(name), path.join(name)).unwrap();
    }
    succeeds(program("openapi-typescript", path).args(["openapi.json", "--output", "described.ts"]));
    succeeds(program("openapi-ts", path).args(["--input", "openapi.json", "--output", "hey-api", "--no-log-file"]));
    directory
}

fn compile(directory: &Path, file: &str) -> Command {
    let mut compiler = program("tsc", directory);
    compiler.args([
        "--strict",
        "--noUncheckedIndexedAccess",
        "--target",
        "es2022",
        "--module",
        "nodenext",
    ]);
    compiler.args(["--lib", "es2022,dom,dom.iterable", "--outDir", "compiled", file]);
    compiler
}

/// The lines that a compiler complains of: `undeclared.ts(12,68): error TS2353: …`.
fn refused_lines(complaints: &str, file: &str) -> BTreeSet<usize> {
    let lines = complaints.lines().filter_map(|line| {
        let place = line.strip_prefix(file)?.strip_prefix('(')?;
        place.split_once(',')?.0.parse().ok()
    });
    lines.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_clients_compile_and_read_an_item() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&patient(filtered(shop.config(&redis.url(), ""))));
    let directory = generated(&service).await;
    let path = directory.path();

    succeeds(&mut compile(path, "program.ts"));
    let mut shop_front = Command::new(installed("node_modules/.bin/node"));
    shop_front.arg("compiled/program.js").current_dir(path);
    let read: Value = serde_json::from_str(&succeeds(shop_front.args([&service.url(""), "category:BREAD"]))).unwrap();
    let generation = read["sdk"]["generation"].as_str().unwrap();
    let cheap = json!({"total": 6, "generation": generation, "first": 700, "values": [4, 2]});
    assert_eq!(read["types"], cheap);
    assert_eq!(read["sdk"], cheap);
    assert_eq!(read["dollars"], json!({"total": 1, "first": 100}));

    let refusal = compile(path, "undeclared.ts").output().unwrap();
    let complaints = said(&refusal);
    let text = std::fs::read_to_string(script("clients/undeclared.ts")).unwrap();
    let marked = (1..).zip(text.lines()).filter(|(_, line)| line.ends_with("// refused"));
    let marked: BTreeSet<usize> = marked.map(|(number, _)| number).collect();
    assert!(!refusal.status.success() && marked.len() == 6, "{complaints}");
    assert_eq!(refused_lines(&complaints, "undeclared.ts"), marked, "{complaints}");
}
