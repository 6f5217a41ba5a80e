//! How the services are configured, and what they run on.

use std::path::Path;

use super::{Replay, Strategy};

/// The names of listings whose refreshes are waited for begin so.
pub const WAITED_FOR: &str = "waited:";

pub fn config(redis: &str, database: &str, replay: Replay) -> String {
    let coalesce_for = match replay.strategy {
        Strategy::AsksForRefreshes | Strategy::TellsChanges => replay.coalesce_for.as_millis(),
        Strategy::FlushesEverything => 0,
    };
    format!(
        r#"
        [http]
        workers = 1
        fill_wait = "10s"

        [redis]
        url = "{redis}"
        read_timeout = "1s"

        [defaults]
        coalesce_for = "{coalesce_for}ms"
        fresh_for = "24h"
        keep_for = "48h"
        pin_for = "48h"

        [origins.shop]
        kind = "sql"
        url = "{database}"

        [[listings]]
        name = "category:{{category}}"
        origin = "shop"
        names = "select distinct category from products where category is not null"
        query = "select * from products where category = :category"
        [listings.sorts]
        price = {{ by = ["price_cents"] }}

        [[listings]]
        name = "{WAITED_FOR}{{category}}"
        origin = "shop"
        query = "select * from products where category = :category"
        coalesce_for = "0s"
        [listings.sorts]
        price = {{ by = ["price_cents"] }}
        "#
    )
}

/// What the machine is, for those who compare.
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models: Vec<&str> = cpus.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models
        .first()
        .and_then(|line| line.split(": ").nth(1))
        .unwrap_or("unknown");
    let memory = read("/proc/meminfo");
    let kib = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    let version = std::process::Command::new("redis-server").arg("--version").output();
    let version = version
        .map(|said| String::from_utf8_lossy(&said.stdout).into_owned())
        .unwrap_or_default();
    format!(
        "{} x {model}, {} GiB, Linux {}, {}",
        models.len(),
        kib.unwrap_or_default() >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        version.split(" sha=").next().unwrap_or_default(),
    )
}
