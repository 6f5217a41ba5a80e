//! A crowd for one page that nobody has yet: 1,000 clients, their connections open before, an origin that takes 200 ms.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{
    Effort, Outcome,
    claims::{Bound, Claim},
    client::{self, Client},
    machine::Machine,
    section::Section,
    series::{Series, quantile},
    servers::{
        Server,
        listcache::Listcache,
        nginx_cache, origin,
        redis::Redis,
        varnish::{self, Storage},
    },
    table::Table,
};

const CLIENTS: usize = 1000;
/// Until the servers have taken in all connections.
const SETTLES: Duration = Duration::from_millis(300);

/// A server before the crowd.
struct Contestant<'a> {
    name: &'static str,
    server: &'a Server,
    median: Series,
    most: Series,
    asked: Series,
}

pub fn run(machine: &Machine, effort: &Effort) -> Outcome<Section> {
    client::allow_many_connections()?;
    let redis = Redis::start(machine)?;
    let origin = origin::start(machine)?;
    let config = format!(
        "[origins.shop]\nkind = \"http\"\nurl = \"http://{}\"\npaging = \"none\"\n\
         [[listings]]\nname = \"herd:{{number}}\"\norigin = \"shop\"\nquery = \"GET /items/:number\"\n\
         [listings.sorts]\nprice = {{ by = [\"price\"] }}\n",
        origin.address
    );
    let service = Listcache::start(|program| machine.anywhere(program), &redis, &config)?;
    let proxy = nginx_cache::start(machine, &origin.address)?;
    let storage = Storage {
        memory: "64m",
        packs: false,
        threads: 1200,
    };
    let varnish = varnish::start(
        |program| machine.anywhere(program),
        &origin.address,
        &storage,
        varnish::KEEPS_ALL,
    )?;
    let contestant = |name, server| Contestant {
        name,
        server,
        median: Series::default(),
        most: Series::default(),
        asked: Series::default(),
    };
    let mut all = [
        contestant("**listcache**", &service.server),
        contestant("nginx, proxy_cache_lock", &proxy),
        contestant("Varnish", &varnish),
    ];
    for round in 0..effort.rounds {
        for contestant in &mut all {
            let before = origin::asked(&origin)?;
            let path = format!("/v1/listings/herd:{round}?page=1");
            let mut waits = client::block_on(crowd(&contestant.server.address, &path))?;
            waits.sort_by(f64::total_cmp);
            let takes = origin::TAKES.as_secs_f64();
            contestant.median.push(quantile(&waits, 0.5) / takes);
            contestant.most.push(quantile(&waits, 1.0) / takes);
            contestant.asked.push((origin::asked(&origin)? - before) as f64);
        }
    }
    let mut table = Table::new([
        "1,000 clients, a cold page",
        "median wait ÷ origin's time",
        "longest wait ÷ origin's time",
        "requests at the origin",
    ]);
    for contestant in &all {
        table.row([
            contestant.name.to_owned(),
            format!("{:.2}", contestant.median.median()),
            format!("{:.2}", contestant.most.median()),
            format!("{}", contestant.asked.median()),
        ]);
    }
    let claims = vec![
        Claim::new(
            "median wait ÷ origin's time",
            all[0].median.median(),
            Bound::AtMost(1.15),
        ),
        Claim::new("requests at the origin", all[0].asked.median(), Bound::AtMost(1.0)),
    ];
    Ok(Section {
        title: "(e) A crowd for a cold page",
        text: format!("{table}\n"),
        claims,
    })
}

/// The seconds that each of the crowd waited, from its request on.
async fn crowd(address: &str, path: &str) -> Outcome<Vec<f64>> {
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(Client::connect(address).await?);
    }
    tokio::time::sleep(SETTLES).await;
    let mut waiting = JoinSet::new();
    for mut client in clients {
        let path = path.to_owned();
        waiting.spawn(async move {
            let begun = Instant::now();
            let answer = client.ask("GET", &path, "", b"").await?;
            Ok::<_, std::io::Error>((answer.status, begun.elapsed().as_secs_f64()))
        });
    }
    let mut waits = Vec::new();
    while let Some(done) = waiting.join_next().await {
        match done?? {
            (200, wait) => waits.push(wait),
            (status, _) => return Err(format!("{path}: status {status}").into()),
        }
    }
    Ok(waits)
}
