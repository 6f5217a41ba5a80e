//! A walker through a listing that changes all the time.

use listcache::{engine::EngineError, listing::Policy};

use super::{Small, all_texts, policy, some_changed};
use crate::support::shop::{bread, item, page, place, texts};

/// As often as a listing changes in ten minutes that changes once a second.
const CHANGES: u64 = 600;

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_goes_on_through_six_hundred_changes_and_their_bytes_are_bounded() {
    const ITEMS: u64 = 800;
    let few_bytes = 60_000;
    for (pinned_bytes_max, holds) in [(64 << 20, true), (few_bytes, false)] {
        let policy = Policy {
            pinned_bytes_max,
            ..policy()
        };
        let small = Small::with(ITEMS, &["price"], policy).await;
        let mut all = some_changed(ITEMS, &[], 0);
        let first = small.head().await;
        for revision in 1..=CHANGES {
            let at = (revision * 37 % ITEMS) as usize;
            all[at] = item(at as u64, revision);
            small.refresh(all.clone()).await;
        }
        assert_eq!(
            texts(&page(&small.node, &bread(), &place(0, 1000)).await.unwrap()),
            all_texts(&all)
        );
        let kept: usize = small
            .redis
            .cli(&["ZCARD", &small.redis.cli(&["--scan", "--pattern", "*:kept:*"])])
            .parse()
            .unwrap();
        let of_first = small.pinned(first.generation, 0, 1000).await;
        match holds {
            true => {
                assert_eq!(kept, CHANGES as usize);
                assert_eq!(texts(&of_first.unwrap()), all_texts(&some_changed(ITEMS, &[], 0)));
            }
            false => {
                assert!(matches!(of_first, Err(EngineError::Gone)), "{of_first:?}");
                let mut streams = 0;
                for class in ["gen", "deltas"] {
                    let keys = small.redis.cli_lines(&["--scan", "--pattern", &format!("*:{class}:*")]);
                    streams += keys.len();
                    for key in keys {
                        let bytes: u64 = small
                            .redis
                            .cli(&["MEMORY", "USAGE", &key, "SAMPLES", "0"])
                            .parse()
                            .unwrap();
                        assert!(bytes < 4 * few_bytes, "{key} takes {bytes}");
                    }
                }
                assert!(streams <= 6, "{streams} keys");
            }
        }
    }
}
