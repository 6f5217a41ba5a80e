//! Values that other programs' JSON cannot hold, or no JSON at all.

use std::sync::Arc;

use listcache::{
    config::{OriginConfig, OriginKind, Secret},
    origin::{Origins, ordering::order_by},
    telemetry::Metrics,
};

use super::*;
use crate::support::{MariadbDatabase, PostgresDatabase};

#[tokio::test]
async fn an_id_may_be_an_integer_of_more_than_64_bits() {
    let postgres = PostgresDatabase::create("select 1").await;
    let mariadb = MariadbDatabase::create("select 1").await;
    for url in [postgres.url(), mariadb.url()] {
        let query = "select cast(n as decimal(30)) as id from (
            select '18446744073709551617' as n union select '9223372036854775808' union select '18446744073709551616') as ids";
        for order in [ReadOrder::By(by(&[])), any_order(&[])] {
            let items = collect(&open(&url), read(query, order.clone())).await.unwrap();
            let mut sorted = ids(&items);
            if let ReadOrder::Any { .. } = order {
                sorted = order_by(&items, &[], &[])
                    .into_iter()
                    .map(|at| sorted[at as usize])
                    .collect();
            }
            let expect = ["9223372036854775808", "18446744073709551616", "18446744073709551617"];
            assert_eq!(sorted, expect, "{url}");
        }
    }
}

/// The origin of a configuration, and what it counts.
fn configured(url: &str, strict: bool) -> (Arc<dyn Origin>, Metrics) {
    let metrics = Metrics::new();
    let config = OriginConfig {
        changes: Default::default(),
        name: "shop".into(),
        timeout: TIMEOUT,
        bounds: Default::default(),
        kind: OriginKind::Sql {
            url: Secret::new(url.to_owned()),
            max_transaction_time: None,
            strict,
        },
    };
    let origins = Origins::counted_in(&metrics).reopen(&[config]).unwrap();
    (origins.get("shop").unwrap(), metrics)
}

#[tokio::test]
async fn a_value_that_json_has_no_form_for_becomes_null_and_is_counted() {
    let postgres = PostgresDatabase::create("select 1").await;
    let mariadb = MariadbDatabase::create(
        "create table t (day date, moment datetime not null); set sql_mode = '';
         insert into t values ('0000-00-00', '2024-00-00 10:00')",
    )
    .await;
    for (url, query, reasons) in [
        (
            postgres.url(),
            "select 1 as id, 'nan'::numeric as a, 'inf'::float8 as b, 'nan'::float4 as c, 'infinity'::timestamptz as d,
                 '0044-03-15 bc'::date as e",
            &[
                "column `a`: the number NaN has no JSON",
                "column `b`: a number that is not finite has no form in JSON",
                "column `c`: a number that is not finite has no form in JSON",
                "column `d`: the time infinity has no form in RFC 3339",
                "column `e`: the date 0044-03-15 BC has no form in RFC 3339",
            ][..],
        ),
        (
            mariadb.url(),
            "select 1 as id, day as a, moment as b from t",
            &[
                "column `a`: the date 0000-00-00 has no form in RFC 3339",
                "column `b`: the date 2024-00-00T10:00:00 has no form in RFC 3339",
            ],
        ),
    ] {
        let (lax, metrics) = configured(&url, false);
        let items: Vec<OriginItem> = lax
            .read(read(query, any_order(&[])))
            .await
            .unwrap()
            .try_concat()
            .await
            .unwrap();
        let members: Vec<String> = ["a", "b", "c", "d", "e"][..reasons.len()]
            .iter()
            .map(|name| format!(",\"{name}\":null"))
            .collect();
        assert_eq!(lines(&items), format!("{{\"id\":1{}}}\n", members.concat()));
        assert_eq!(metrics.nulled_values.get(), reasons.len() as u64);

        let (strict, metrics) = configured(&url, true);
        for (name, reason) in ["a", "b", "c", "d", "e"].iter().zip(reasons) {
            let one = format!("select id, {name} from ({query}) as x");
            let error = strict
                .read(read(&one, any_order(&[])))
                .await
                .unwrap()
                .try_concat()
                .await
                .unwrap_err();
            assert_eq!(error.to_string(), format!("item 1: {reason}"));
        }
        assert_eq!(metrics.nulled_values.get(), 0);
    }
}
