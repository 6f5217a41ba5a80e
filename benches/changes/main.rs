//! Changes that are told, on the shop of `fixtures/openmage.sql`: how soon another page shows them, what readers notice, and
//! what a publish costs more where an origin tells of changes.
//!
//! ```text
//! make bench-changes             cargo bench --bench changes -- --seconds 30 --pages 200 --publishes 400
//! ```
//! It needs MariaDB and Redis. Nothing is written but to the screen; docs/benchmarks.md has the figures of a run.

// The servers are those of the tests, which use more of them.
#[allow(dead_code)]
#[path = "../../tests/it/support/churn/mod.rs"]
mod churn;
#[allow(dead_code)]
#[path = "../../tests/it/support/mariadb.rs"]
mod mariadb;
mod openmage;
mod publishes;
#[allow(dead_code)]
#[path = "../../tests/it/support/redis_server.rs"]
mod redis_server;
#[allow(dead_code)]
#[path = "../../tests/it/support/server_program.rs"]
mod server_program;
#[allow(dead_code)]
#[path = "../../tests/it/support/service.rs"]
mod service;
#[allow(dead_code)]
#[path = "../../tests/it/support/watched.rs"]
mod watched;

use std::{env, time::Duration};

#[tokio::main]
async fn main() {
    println!("{}", churn::setup::machine());
    let publishes = asked_for("--publishes", 400);
    if publishes > 0 {
        publishes::run(publishes as usize).await;
    }
    let seconds = asked_for("--seconds", 30);
    if seconds > 0 {
        openmage::run(Duration::from_secs(seconds), asked_for("--pages", 200) as u32).await;
    }
}

fn asked_for(name: &str, default: u64) -> u64 {
    let mut arguments = env::args().skip_while(|argument| argument != name);
    let given = arguments.nth(1);
    given.map_or(default, |value| {
        value.parse().unwrap_or_else(|_| panic!("{name} takes a number"))
    })
}
