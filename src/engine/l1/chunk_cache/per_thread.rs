//! Chunks and fragments that a thread found in L1 lately. The thread finds them again without a look into the shared table, which
//! records each look.
//!
//! Only weak references are kept: a value that the table drops is gone as soon as no answer holds it. One of several finds goes to the
//! table all the same, so that it learns which values are popular.
//!
//! Without this, a page costs 1,180 instructions more, 4 in a hundred, and two threads on one hot page take two to five times as long in
//! here: the table records each find in a queue.

use std::{
    cell::RefCell,
    hash::BuildHasher,
    sync::{Arc, Weak},
};

use foldhash::fast::FixedState;

use super::entry::{Key, Value};
use crate::listing::{Chunk, Fragment};

/// For each thread. A new value takes its place over.
const PLACES: usize = 256;
/// One of so many finds goes to the table.
const TOLD_EVERY: u8 = 8;

struct Found {
    /// Which cache it was found in.
    cache: u64,
    key: Key,
    value: Held,
    finds: u8,
}

enum Held {
    Chunk(Weak<Chunk>),
    Fragment(Weak<Fragment>),
}

thread_local! {
    static PLACES_HERE: RefCell<Box<[Option<Found>]>> = RefCell::new((0..PLACES).map(|_| None).collect());
}

fn place_of(key: &Key) -> usize {
    FixedState::default().hash_one(key) as usize % PLACES
}

/// What this thread found lately in a cache, if that has it still; `None` too where the table is to be asked again.
pub(super) fn find(cache: u64, key: &Key) -> Option<Value> {
    PLACES_HERE.with_borrow_mut(|places| {
        let place = &mut places[place_of(key)];
        let found = place.as_mut()?;
        if found.cache != cache || found.key != *key {
            return None;
        }
        found.finds += 1;
        let value = match &found.value {
            _ if found.finds == TOLD_EVERY => None,
            Held::Chunk(chunk) => chunk.upgrade().map(Value::Chunk),
            Held::Fragment(fragment) => fragment.upgrade().map(Value::Fragment),
        };
        if value.is_none() {
            // Empty until the table has the value: one that it lacks may be asked for often.
            *place = None;
        }
        value
    })
}

/// This thread found something in the table.
pub(super) fn keep(cache: u64, key: &Key, value: &Value) {
    let value = match value {
        Value::Chunk(chunk) => Held::Chunk(Arc::downgrade(chunk)),
        Value::Fragment(fragment) => Held::Fragment(Arc::downgrade(fragment)),
    };
    let found = Found {
        cache,
        key: *key,
        value,
        finds: 0,
    };
    PLACES_HERE.with_borrow_mut(|places| places[place_of(key)] = Some(found));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listing::Generation;

    #[test]
    fn it_is_found_until_the_table_is_to_be_asked_or_has_let_it_go() {
        let key = Key::Chunk(Generation { id: 1, nonce: 1 }, 0);
        let chunk = Arc::new(Chunk::join(&["1"]));
        assert!(find(1, &key).is_none());
        keep(1, &key, &Value::Chunk(chunk.clone()));
        for _ in 1..TOLD_EVERY {
            assert!(matches!(find(1, &key), Some(Value::Chunk(found)) if Arc::ptr_eq(&found, &chunk)));
            assert!(find(2, &key).is_none(), "in another cache");
        }
        for _ in 0..300 {
            assert!(find(1, &key).is_none(), "the table is asked");
        }
        keep(1, &key, &Value::Chunk(chunk.clone()));
        assert!(find(1, &key).is_some());
        drop(chunk);
        assert!(find(1, &key).is_none(), "nobody has it");
    }
}
