//! How many instructions the service spends on a page in L1: a figure that does not depend on what else the machine does, so that a
//! regression of a percent shows. Counted by callgrind over all threads of the released program.

use std::{fs, path::Path, process::Command};

use futures_util::future::try_join_all;

use super::{
    Outcome,
    client::{self, Client},
    items,
    machine::Machine,
    report,
    sample::Sample,
    servers::{Server, fixed, listcache::Listcache, redis::Redis},
    table::Table,
};

const NAME: &str = "category:BREAD";
const PAGE: &str = "/v1/listings/category:BREAD?page=2";
const TAKES_GZIP: &str = "Accept-Encoding: gzip";
const ITEMS: u64 = 240;
/// As under load: a turn of the event loop serves several.
const CONNECTIONS: usize = 16;
/// Until all that is made once is made; on each connection.
const WARM_UP: u32 = 25;
/// On each connection. Timers and announcements go on meanwhile: so many that they hardly count.
const REQUESTS: u32 = 500;

/// Counts, prints beside what was counted before, and writes into `docs/benchmarks.md`.
pub fn count(machine: &Machine) -> Outcome<()> {
    let directory = tempfile::tempdir()?;
    let dumps = directory.path();
    let under_callgrind = |program: &str| {
        let mut command = machine.anywhere("valgrind");
        let file = dumps.join("callgrind.out");
        command.arg("--tool=callgrind");
        command.arg(format!("--callgrind-out-file={}", file.display()));
        command.arg(program);
        command
    };
    let redis = Redis::start(machine)?;
    let service = Listcache::start(under_callgrind, &redis, "[http]\nworkers = 1\n")?;
    service.push(NAME, items::lines(ITEMS))?;
    let plain = Sample::take(service.address(), PAGE, &[])?;
    let packed = Sample::take(service.address(), PAGE, &[TAKES_GZIP])?;
    let condition = format!("If-None-Match: {}", plain.header("etag")?);
    let known = Sample::take(service.address(), PAGE, &[&condition])?;
    let answers = tempfile::tempdir()?;
    let fixed = fixed::start(under_callgrind, answers.path(), &[&plain, &packed, &known])?;
    let kinds = [
        ("plain", String::new(), "/0", 200),
        ("gzip", format!("{TAKES_GZIP}\r\n"), "/1", 200),
        ("304", format!("{condition}\r\n"), "/2", 304),
    ];
    let mut table = Table::new(["a page of 24 items in L1", "instructions", "of a fixed answer", "ratio"]);
    for (name, headers, path, status) in kinds {
        let [ours, least] = [
            count_of(&service.server, PAGE, &headers, status, dumps)?,
            count_of(&fixed, path, &headers, status, dumps)?,
        ];
        table.row([
            name.to_owned(),
            format!("{ours:.0}"),
            format!("{least:.0}"),
            format!("{:.2}", ours / least),
        ]);
    }
    println!(
        "before:\n{}\nnow:\n\n{table}",
        report::written("instructions")?.trim_end()
    );
    report::replace("instructions", &table.to_string())
}

/// Instructions that a server spends on one request.
fn count_of(server: &Server, path: &str, headers: &str, status: u16, dumps: &Path) -> Outcome<f64> {
    client::block_on(async {
        let connecting = (0..CONNECTIONS).map(|_| Client::connect(&server.address));
        let mut clients = try_join_all(connecting).await?;
        let mut ask = async |times: u32| {
            let asking = clients.iter_mut().map(async |client| {
                for _ in 0..times {
                    let answer = client.ask("GET", path, headers, b"").await?;
                    if answer.status != status {
                        return Err(format!("{path}: {}, not {status}", answer.status).into());
                    }
                }
                Outcome::Ok(())
            });
            try_join_all(asking).await
        };
        ask(WARM_UP).await?;
        control(server, "--zero")?;
        ask(REQUESTS).await?;
        control(server, "--dump")
    })?;
    Ok(dumped(dumps)? as f64 / f64::from(REQUESTS) / CONNECTIONS as f64)
}

fn control(server: &Server, what: &str) -> Outcome<()> {
    let id = server.process.id().to_string();
    let done = Command::new("callgrind_control").args([what, &id]).output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!("callgrind_control: {}", String::from_utf8_lossy(&done.stdout)).into())
}

/// What the newest dump counted; it goes away, so that the next one is the only one.
fn dumped(directory: &Path) -> Outcome<u64> {
    for entry in fs::read_dir(directory)? {
        let file = entry?.path();
        if !file
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("callgrind.out."))
        {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        fs::remove_file(&file)?;
        let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
        return Ok(total.ok_or("a dump without totals")?.trim().parse()?);
    }
    Err("callgrind dumped nothing".into())
}
