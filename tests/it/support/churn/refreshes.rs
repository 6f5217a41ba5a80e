//! What the nodes have logged of their refreshes.

use std::collections::HashMap;

use serde_json::Value;

use super::{
    Shop,
    ledger::{Confirmed, id_of},
    setup::WAITED_FOR,
};

impl Shop {
    /// How long each refresh took, the most of one listing within `coalesce_for`, what they have found unchanged, and how many
    /// items they have read: as the nodes have logged it since a time, in ms.
    pub fn refreshes(&self, since: u64) -> (Vec<u64>, usize, Confirmed, u64) {
        let mut builds = Vec::new();
        let mut items = 0;
        let mut confirmed = Confirmed::default();
        let mut draws: HashMap<String, Vec<u64>> = HashMap::new();
        for line in self
            .nodes
            .iter()
            .flat_map(|node| node.log().lines().map(str::to_owned).collect::<Vec<_>>())
        {
            let Ok(line) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if !matches!(
                line["message"].as_str(),
                Some("listing refreshed" | "listing unchanged")
            ) {
                continue;
            }
            let as_of = line["as_of"].as_u64().unwrap();
            if as_of < since {
                continue;
            }
            let of_listing = draws.entry(line["listing"].as_str().unwrap().to_owned()).or_default();
            if line["listing"].as_str().unwrap().starts_with(WAITED_FOR) {
                continue;
            }
            builds.push(line["duration_ms"].as_u64().unwrap() * 1000);
            items += line["items"].as_u64().unwrap_or_default();
            of_listing.push(as_of);
            confirmed.add(id_of(line["generation"].as_str().unwrap()).unwrap(), as_of * 1000);
        }
        let window = self.replay.coalesce_for.as_millis() as u64;
        let most = draws.into_values().map(|mut times| {
            times.sort_unstable();
            let in_window = |(place, from): (usize, &u64)| times[place..].partition_point(|time| *time < from + window);
            times.iter().enumerate().map(in_window).max().unwrap_or_default()
        });
        let most = most.max().unwrap_or_default();
        (builds, most, confirmed, items)
    }
}
