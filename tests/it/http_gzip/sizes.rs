//! A stitched page is no larger than what `gzip -1` makes of the whole page; where its edges are cut, at most a tenth.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::{World, world};
use crate::catalogue::catalogue_file;

const NAME: &str = "category:sample";

/// A page of so many items, where the listing has them, from each offset that is a multiple of its size.
struct Kind {
    query: &'static str,
    size: usize,
    first: usize,
    /// The most that it may take, by what `gzip -1` takes.
    bound: f64,
}

const KINDS: [Kind; 11] = [
    kind("", 24, 0, 1.0),
    kind("", 48, 0, 1.0),
    kind("", 96, 0, 1.0),
    kind("", 10, 0, 1.1),
    kind("", 25, 0, 1.1),
    kind("", 50, 0, 1.1),
    kind("", 24, 7, 1.1),
    kind("order=desc&", 10, 0, 1.1),
    kind("order=desc&", 24, 0, 1.1),
    kind("order=desc&", 50, 0, 1.1),
    kind("order=desc&", 24, 7, 1.1),
];

const fn kind(query: &'static str, size: usize, first: usize, bound: f64) -> Kind {
    Kind {
        query,
        size,
        first,
        bound,
    }
}

/// The catalogue's categories of 97 to 400 products, cheapest first, as NDJSON.
fn categories() -> Vec<Vec<String>> {
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(catalogue_file()).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let mut categories = std::collections::BTreeMap::<String, Vec<(i64, i64, String)>>::new();
    for line in text.lines() {
        let product: Value = serde_json::from_str(line).unwrap();
        let Some(category) = product["category"].as_str() else {
            continue;
        };
        categories.entry(category.to_owned()).or_default().push((
            product["price_cents"].as_i64().unwrap(),
            product["id"].as_i64().unwrap(),
            product.to_string(),
        ));
    }
    let sized = categories
        .into_values()
        .filter(|products| (97..=400).contains(&products.len()));
    sized
        .map(|mut products| {
            products.sort();
            products.into_iter().map(|(_, _, json)| json).collect()
        })
        .collect()
}

fn gzip_1(plain: &[u8]) -> usize {
    let mut gzip = Command::new("gzip")
        .args(["-1", "-c", "-n"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = gzip.stdin.take().unwrap();
    let plain = plain.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&plain).unwrap());
    let packed = gzip.wait_with_output().unwrap().stdout.len();
    writer.join().unwrap();
    packed
}

async fn ratios(world: &World, kind: &Kind, total: usize) -> Vec<f64> {
    let offsets = (kind.first..)
        .step_by(kind.size)
        .take_while(|offset| offset + kind.size <= total);
    let paths: Vec<_> = offsets
        .map(|offset| format!("/v1/listings/{NAME}?{}offset={offset}&limit={}", kind.query, kind.size))
        .collect();
    world.packed(&paths).await;
    let mut ratios = Vec::new();
    for path in &paths {
        let member = world.member(path).await.len() as f64;
        ratios.push(member / gzip_1(&world.plain(path).await) as f64);
    }
    ratios
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_as_small_as_gzip_makes_them() {
    // Chunks as they are by default.
    let world = world("64MiB", 12);
    let categories = categories();
    // Some of them, spread over all.
    let chosen = categories.iter().step_by((categories.len() / 4).max(1)).take(4);
    let mut all = vec![Vec::new(); KINDS.len()];
    for products in chosen {
        world.push(NAME, products.join("\n")).await;
        for (kind, all) in KINDS.iter().zip(&mut all) {
            all.extend(ratios(&world, kind, products.len()).await);
        }
    }
    for (kind, ratios) in KINDS.iter().zip(&all) {
        let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
        let largest = ratios.iter().copied().fold(0.0, f64::max);
        println!(
            "{:<11}{:>3} from {}: {} pages, {mean:.3} of gzip -1, at most {largest:.3}",
            kind.query,
            kind.size,
            kind.first,
            ratios.len()
        );
        assert!(
            mean <= kind.bound,
            "{}{} from {}: {mean:.3}",
            kind.query,
            kind.size,
            kind.first
        );
        assert!(
            largest <= kind.bound.max(1.05),
            "{}{} from {}: {largest:.3}",
            kind.query,
            kind.size,
            kind.first
        );
    }
}
