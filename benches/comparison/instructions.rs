//! How many instructions the service spends on a page in L1: a figure that does not depend on what else the machine does, so that a
//! regression of a percent shows. Counted by callgrind over all threads of the released program.

use std::{fs, path::Path, process::Command};

use super::{
    Outcome,
    client::{self, Client},
    items,
    machine::Machine,
    report,
    sample::Sample,
    servers::{listcache::Listcache, redis::Redis},
    table::Table,
};

const NAME: &str = "category:BREAD";
const PAGE: &str = "/v1/listings/category:BREAD?page=2";
const ITEMS: u64 = 240;
/// Until all that is made once is made.
const WARM_UP: u32 = 200;
/// Timers and announcements go on meanwhile: so many requests that they do not count.
const REQUESTS: u32 = 5_000;

/// Counts, prints, and writes into `docs/benchmarks.md`.
pub fn count(machine: &Machine) -> Outcome<()> {
    let redis = Redis::start(machine)?;
    let under_callgrind = |program: &str| {
        let mut command = machine.anywhere("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=callgrind.out", program]);
        command
    };
    let service = Listcache::start(under_callgrind, &redis, "[http]\nworkers = 1\n")?;
    service.push(NAME, items::lines(ITEMS))?;
    let condition = format!(
        "If-None-Match: {}\r\n",
        Sample::take(service.address(), PAGE, &[])?.header("etag")?
    );
    let kinds = [
        ("plain", "", 200),
        ("gzip", "Accept-Encoding: gzip\r\n", 200),
        ("304", condition.as_str(), 304),
    ];
    let mut table = Table::new(["a page of 24 items in L1", "instructions a request"]);
    for (name, headers, status) in kinds {
        let instructions = client::block_on(async {
            let mut client = Client::connect(service.address()).await?;
            ask(&mut client, headers, status, WARM_UP).await?;
            control(&service, "--zero")?;
            ask(&mut client, headers, status, REQUESTS).await?;
            control(&service, "--dump")?;
            Ok(())
        })
        .and_then(|()| dumped(service.directory()))?;
        table.row([
            name.to_owned(),
            format!("{:.0}", instructions as f64 / f64::from(REQUESTS)),
        ]);
    }
    println!("{table}");
    report::replace("instructions", &table.to_string())
}

async fn ask(client: &mut Client, headers: &str, status: u16, times: u32) -> Outcome<()> {
    for _ in 0..times {
        let answer = client.ask("GET", PAGE, headers, b"").await?;
        if answer.status != status {
            return Err(format!("{PAGE}: {}, not {status}", answer.status).into());
        }
    }
    Ok(())
}

fn control(service: &Listcache, what: &str) -> Outcome<()> {
    let id = service.server.process.id().to_string();
    let done = Command::new("callgrind_control")
        .args([what, &id])
        .current_dir(service.directory())
        .output()?;
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
