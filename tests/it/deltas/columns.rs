//! The columns of sidecars.

use listcache::listing::{
    Generation,
    sidecar::{IdHash, decode_ids, decode_keys},
};

use super::{Small, base_of, some_changed};

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecar_knows_each_position_s_id_and_sort_key_and_a_delta_s_what_has_changed() {
    // Three segments of 48 chunks, 48 chunks and 4.
    const ITEMS: u64 = 400;
    for sorts in [&["price"][..], &["price", "name"]] {
        let small = Small::with_sorts(ITEMS, sorts).await;
        // Only what was sorted here brings keys: this origin tells none with its own order.
        let has_keys = sorts.len() > 1;
        let fields = |generation| {
            let mut fields = small.redis.cli_lines(&["HKEYS", &small.sidecar_key(generation)]);
            fields.retain(|field| field.contains(':'));
            fields.sort();
            fields
        };
        let all_fields = |firsts: &[u64]| {
            let mut fields: Vec<String> = firsts.iter().map(|first| format!("ids:{first}")).collect();
            if has_keys {
                fields.extend(firsts.iter().map(|first| format!("keys:{first}")));
            }
            fields.sort();
            fields
        };
        let whole = small.head().await;
        assert_eq!(fields(whole.generation), all_fields(&[0, 48, 96]));
        small.check_columns(whole.generation, ITEMS, has_keys).await;
        // One item of the second segment, and then one of the last.
        for (changed, first) in [(&[250][..], 48), (&[250, 399], 96)] {
            let delta = small.refresh(some_changed(ITEMS, changed, 1)).await;
            assert_eq!(base_of(&delta), Some(whole.generation));
            let mut own = small.own(&delta);
            own.retain(|field| field.contains(':'));
            assert_eq!(own, all_fields(&[first]));
        }
        // Every chunk of the first segment but a few: too much for a delta, and what is taken over is copied.
        let changed: Vec<u64> = (0..175).chain([250, 399]).collect();
        let whole = small.refresh(some_changed(ITEMS, &changed, 2)).await;
        assert_eq!(base_of(&whole), None);
        assert_eq!(fields(whole.generation), all_fields(&[0, 48, 96]));
        small.check_columns(whole.generation, ITEMS, has_keys).await;
        let described = small.store.pages.describe(&small.key, whole.generation).await.unwrap();
        assert_eq!(described.unwrap().has_keys, has_keys);
    }
}

impl Small {
    /// Reads the columns of a whole generation back.
    async fn check_columns(&self, generation: Generation, items: u64, has_keys: bool) {
        let client = redis::Client::open(self.redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut ids = Vec::new();
        let mut keys = Vec::new();
        for first in [0, 48, 96_u64] {
            let many = (items - first * 4).min(48 * 4);
            let mut read = async |column: &str| -> Vec<u8> {
                let mut command = redis::cmd("HGET");
                command
                    .arg(self.sidecar_key(generation))
                    .arg(format!("{column}:{first}"));
                let sealed: Vec<u8> = command.query_async(&mut connection).await.unwrap();
                // Its check sum.
                sealed[..sealed.len() - 8].to_vec()
            };
            ids.extend(decode_ids(&read("ids").await, many).unwrap());
            if has_keys {
                let segment = decode_keys(&read("keys").await, many).unwrap();
                keys.extend(segment.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
            }
        }
        let expected: Vec<IdHash> = (0..items).map(|id| IdHash::of(&id.to_string())).collect();
        assert_eq!(ids, expected);
        assert!(keys.is_sorted(), "the keys are not in the order of the stream");
        assert_eq!(keys.len() as u64, if has_keys { items } else { 0 });
    }
}
