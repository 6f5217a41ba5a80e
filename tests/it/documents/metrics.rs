//! `docs/metrics.md` and `/metrics` of a running service name the same metrics.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use reqwest::Method;

use super::{root, text};
use crate::support::{
    redis_server::RedisServer,
    service::{Service, Shop},
};

/// Its type, and each label with its values.
type Metric = (String, BTreeMap<String, BTreeSet<String>>);

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_stands_on_its_page() {
    let redis = RedisServer::start();
    let shop = Shop::new().await;
    let service = Service::start(&shop.config(&redis.url(), ""));
    let answer = service.request(Method::GET, "/metrics").send().await.unwrap();
    let wrong = differences(
        &exposed(&answer.text().await.unwrap()),
        &documented(&text("docs/metrics.md")),
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn pages_name_only_metrics_that_are_there() {
    let known = documented(&text("docs/metrics.md"));
    // Tables and triggers of shops' databases are named likewise.
    let changes = text("docs/changes.md");
    let sql: String = changes
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let of_databases: BTreeSet<&str> = names(&sql).collect();
    assert!(of_databases.contains("listcache_outbox"));
    let docs = fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| format!("docs/{}", entry.unwrap().file_name().display()));
    for page in docs
        .filter(|name| name.ends_with(".md"))
        .chain(["README.md".to_owned()])
    {
        let text = text(&page);
        let mut unknown = unknown_names(&text, &known);
        unknown.retain(|name| !of_databases.contains(name));
        assert!(unknown.is_empty(), "{page} names {unknown:?}");
    }
}

/// The metrics in a text that the page does not have, without the endings of a histogram's series.
fn unknown_names<'t>(text: &'t str, known: &BTreeMap<String, Metric>) -> Vec<&'t str> {
    let is_known = |name: &str| {
        let series = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| name.strip_suffix(end));
        known.contains_key(name) || series.into_iter().any(|name| known.contains_key(name))
    };
    names(text).filter(|name| !is_known(name)).collect()
}

/// The words that begin as metrics do.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    words.filter(|word| word.starts_with("listcache_"))
}

fn differences(exposed: &BTreeMap<String, Metric>, documented: &BTreeMap<String, Metric>) -> Vec<String> {
    let names: BTreeSet<_> = exposed.keys().chain(documented.keys()).collect();
    let differ = |name: &&String| match (exposed.get(*name), documented.get(*name)) {
        (Some(exposed), Some(documented)) => {
            exposed.0 != documented.0
                || !exposed.1.keys().eq(documented.1.keys())
                // Some labels have more values than the page lists.
                || documented.1.iter().any(|(label, values)| !values.is_subset(&exposed.1[label]))
        }
        _ => true,
    };
    let line = |name: &String| {
        format!(
            "{name}: exposed {:?}, documented {:?}",
            exposed.get(name),
            documented.get(name)
        )
    };
    names.into_iter().filter(differ).map(line).collect()
}

/// Reads the OpenMetrics format.
fn exposed(text: &str) -> BTreeMap<String, Metric> {
    let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            current = if kind == "counter" {
                format!("{name}_total")
            } else {
                name.to_owned()
            };
            metrics.insert(current.clone(), (kind.to_owned(), BTreeMap::new()));
        } else if let Some((labels, _)) = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')) {
            let values = &mut metrics.get_mut(&current).unwrap().1;
            let labels = labels.split("\",").filter_map(|label| label.split_once("=\""));
            for (label, value) in labels.filter(|(label, _)| *label != "le") {
                let value = value.trim_end_matches('"').to_owned();
                values.entry(label.to_owned()).or_default().insert(value);
            }
        }
    }
    metrics
}

/// Reads the tables of the page.
fn documented(text: &str) -> BTreeMap<String, Metric> {
    let rows = text.lines().filter(|line| line.starts_with("| `listcache_"));
    let cells = rows.map(|row| row.split('|').skip(1).map(str::trim).collect::<Vec<_>>());
    let metrics = cells
        .filter(|cells| ["counter", "gauge", "histogram"].contains(&cells[1]))
        .map(|cells| {
            for cell in &cells[3..5] {
                assert!(!cell.is_empty(), "an empty cell: {cells:?}");
            }
            let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for label in cells[2].split("; `").filter(|label| !label.is_empty()) {
                let (name, values) = label.split_once(':').unwrap_or((label, ""));
                let values = values.split('`').skip(1).step_by(2).map(str::to_owned);
                labels.insert(name.trim_matches('`').to_owned(), values.collect());
            }
            (cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), labels))
        });
    metrics.collect()
}

#[test]
fn a_metric_that_differs_is_seen() {
    let exposed = exposed(
        "# HELP a A.\n# TYPE a counter\na_total{x=\"1\"} 0\na_total{x=\"2\"} 0\n# TYPE b histogram\nb_bucket{le=\"1.0\"} 0\n",
    );
    let page = |rows: &[&str]| {
        documented(
            &rows
                .join("\n")
                .replace("`a", "`listcache_a")
                .replace("`b", "`listcache_b"),
        )
    };
    let named: BTreeMap<_, _> = exposed
        .into_iter()
        .map(|(name, metric)| (format!("listcache_{name}"), metric))
        .collect();
    let differ = |rows: &[&str]| {
        let wrong = differences(&named, &page(rows));
        wrong
            .iter()
            .map(|line| line.split(':').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let (a, b) = (
        "| `a_total` | counter | `x`: `1`, `2` | A. | Nothing. |",
        "| `b` | histogram | | B. | Nothing. |",
    );
    let both = page(&[a, b]);
    assert_eq!(
        unknown_names("`listcache_b_sum`, rate(listcache_a_total[5m])", &page(&[a, b])),
        [""; 0]
    );
    assert_eq!(unknown_names("`listcache_a`", &both), ["listcache_a"]);
    assert_eq!(differ(&[a, b]), [""; 0]);
    assert_eq!(differ(&[a]), ["listcache_b"]);
    assert_eq!(
        differ(&[a, b, "| `b_more` | gauge | | B. | Nothing. |"]),
        ["listcache_b_more"]
    );
    assert_eq!(differ(&[a, &b.replace("histogram", "gauge")]), ["listcache_b"]);
    assert_eq!(differ(&[&a.replace("`1`", "`3`"), b]), ["listcache_a_total"]);
    assert_eq!(differ(&[&a.replace("`x`: `1`, `2`", ""), b]), ["listcache_a_total"]);
}
