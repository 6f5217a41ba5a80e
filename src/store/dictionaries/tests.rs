//! Dictionaries: trained, adopted, trained again, and forgotten.

use std::sync::Arc;

use bytes::Bytes;

use super::{dictionary::DICTIONARY_BYTES_MAX, testing::*, training::Training, *};
use crate::listing::Item;

const SCOPE: DictionaryScope = DictionaryScope(7);

fn random() -> fastrand::Rng {
    fastrand::Rng::with_seed(42)
}

/// Writes so many chunks, and gives the dictionaries that were trained meanwhile.
fn write_many(
    dictionaries: &Dictionaries,
    chunks: usize,
    mut items: impl FnMut() -> Vec<Item>,
) -> Vec<Arc<Dictionary>> {
    (0..chunks)
        .filter_map(|_| write(dictionaries, SCOPE, &items()).1)
        .collect()
}

/// Tells of chunks until there is a training, and gives it without running it.
fn training_of(dictionaries: &Dictionaries, scope: DictionaryScope) -> Option<Training> {
    let mut random = random();
    (0..200).find_map(|_| {
        let plain = plain(&products(&mut random));
        let packing = Packing {
            plain: plain.bytes(),
            packed_len: 500,
            dictionary: None,
        };
        dictionaries.record(scope, &packing)
    })
}

#[test]
fn some_chunks_give_a_dictionary_and_the_next_ones_pack_clearly_smaller() {
    let (dictionaries, mut random) = (Dictionaries::new(), random());
    assert!(dictionaries.for_writing(SCOPE).is_none());
    assert_eq!(write_many(&dictionaries, 124, || products(&mut random)).len(), 0);
    assert!(dictionaries.for_writing(SCOPE).is_none());

    let trained = write_many(&dictionaries, 1, || products(&mut random)).pop().unwrap();
    assert!(Arc::ptr_eq(&dictionaries.for_writing(SCOPE).unwrap(), &trained));
    assert!(Arc::ptr_eq(&dictionaries.get(trained.hash()).unwrap(), &trained));
    assert!(dictionaries.for_writing(DictionaryScope(8)).is_none());
    assert!(trained.bytes().len() <= DICTIONARY_BYTES_MAX);

    let (mut with, mut without) = (0, 0);
    for _ in 0..50 {
        let plain = plain(&products(&mut random));
        with += plain.pack(Some(&trained)).len();
        without += plain.pack(None).len();
    }
    assert!(10 * with < 8 * without, "{with} with a dictionary, {without} without");
}

#[test]
fn nothing_in_common_gives_no_dictionary_and_is_tried_less_and_less() {
    for nothing in [&b""[..], b"1"] {
        let dictionaries = Dictionaries::new();
        let record = || {
            let packing = Packing {
                plain: nothing,
                packed_len: 9,
                dictionary: None,
            };
            dictionaries.record(SCOPE, &packing)
        };
        let mut tried_at = Vec::new();
        for chunk in 1..=2400 {
            if let Some(training) = record() {
                assert!(training.run().is_none());
                tried_at.push(chunk);
            }
        }
        assert_eq!(tried_at, [125, 325, 725, 1525]);
        assert!(dictionaries.for_writing(SCOPE).is_none());
    }
}

#[test]
fn one_training_runs_at_a_time_and_one_given_up_is_begun_again() {
    let dictionaries = Dictionaries::new();
    let other = DictionaryScope(8);
    let first = training_of(&dictionaries, SCOPE).unwrap();
    assert!(training_of(&dictionaries, other).is_none());
    drop(first);
    // Both have their samples still.
    let chunk = Packing {
        plain: b"",
        packed_len: 9,
        dictionary: None,
    };
    let second = dictionaries.record(other, &chunk).unwrap();
    assert!(dictionaries.record(SCOPE, &chunk).is_none());
    assert!(second.run().is_some());
    assert!(dictionaries.record(SCOPE, &chunk).unwrap().run().is_some());
}

#[test]
fn another_nodes_dictionary_is_adopted_where_there_is_none() {
    let dictionaries = Dictionaries::new();
    let adopted = trained();
    assert!(dictionaries.adopt(SCOPE, &adopted));
    assert!(Arc::ptr_eq(&dictionaries.for_writing(SCOPE).unwrap(), &adopted));
    assert!(dictionaries.get(adopted.hash()).is_some());

    let mut random = random();
    let other = write_many(&Dictionaries::new(), 125, || other_products(&mut random)).remove(0);
    assert!(!dictionaries.adopt(SCOPE, &other));
    assert!(Arc::ptr_eq(&dictionaries.for_writing(SCOPE).unwrap(), &adopted));
}

#[test]
fn a_dictionary_adopted_during_a_training_stays() {
    let dictionaries = Dictionaries::new();
    let training = training_of(&dictionaries, SCOPE).unwrap();
    let mut random = random();
    let adopted = write_many(&Dictionaries::new(), 125, || other_products(&mut random)).remove(0);
    assert!(dictionaries.adopt(SCOPE, &adopted));
    assert!(training.run().is_none());
    assert!(Arc::ptr_eq(&dictionaries.for_writing(SCOPE).unwrap(), &adopted));
    // Trainings go on.
    assert!(training_of(&dictionaries, DictionaryScope(8)).is_some());
}

#[test]
fn a_dictionary_that_packs_worse_than_at_first_is_replaced() {
    let (dictionaries, mut random) = (Dictionaries::new(), random());
    let first = write_many(&dictionaries, 125, || products(&mut random)).remove(0);
    assert!(write_many(&dictionaries, 1000, || products(&mut random)).is_empty());

    // The shop changes its fields: a stretch of 200 chunks shows it, and trains another.
    assert!(write_many(&dictionaries, 199, || other_products(&mut random)).is_empty());
    assert!(Arc::ptr_eq(&dictionaries.for_writing(SCOPE).unwrap(), &first));
    let second = write_many(&dictionaries, 1, || other_products(&mut random)).remove(0);
    assert!(Arc::ptr_eq(&dictionaries.for_writing(SCOPE).unwrap(), &second));
    assert_ne!(first.hash(), second.hash());
    assert!(write_many(&dictionaries, 1000, || other_products(&mut random)).is_empty());

    // What was packed with the first one is read still.
    assert!(dictionaries.get(first.hash()).is_some());
}

#[test]
fn a_dictionary_that_no_other_is_better_than_stays() {
    let (dictionaries, mut random) = (Dictionaries::new(), random());
    let first = write_many(&dictionaries, 125, || products(&mut random)).remove(0);
    write_many(&dictionaries, 200, || products(&mut random));
    assert!(write_many(&dictionaries, 5000, || noise(&mut random)).is_empty());
    assert!(Arc::ptr_eq(&dictionaries.for_writing(SCOPE).unwrap(), &first));
}

#[test]
fn chunks_of_a_generation_that_began_with_another_dictionary_do_not_count() {
    let (dictionaries, mut random) = (Dictionaries::new(), random());
    write_many(&dictionaries, 325, || products(&mut random));
    let noise = plain(&noise(&mut random));
    for _ in 0..1000 {
        let packing = Packing {
            plain: noise.bytes(),
            packed_len: noise.bytes().len(),
            dictionary: None,
        };
        assert!(dictionaries.record(SCOPE, &packing).is_none());
    }
}

#[test]
fn dictionaries_scopes_and_samples_are_bounded() {
    let dictionaries = Dictionaries::bounded(2, 3, 10_000);
    let mut random = random();
    for scope in 0..100 {
        for _ in 0..3 {
            write(&dictionaries, DictionaryScope(scope), &products(&mut random));
        }
        let (_, scopes, sample_bytes) = dictionaries.size();
        assert!(scopes <= 3 && sample_bytes <= 10_000, "{scopes} {sample_bytes}");
    }
    let kept = |first_byte: u8| {
        let bytes = Bytes::from(vec![first_byte; 100]);
        let hash = Dictionary::new(bytes.clone()).unwrap().hash();
        dictionaries.keep(hash, bytes).unwrap();
        hash
    };
    let (first, second) = (kept(1), kept(2));
    assert_eq!(dictionaries.size().0, 2);
    assert!(dictionaries.get(first).is_some());
    assert_eq!(dictionaries.size().0, 2);
    let third = kept(3);
    assert_eq!(dictionaries.size().0, 2);
    // The least recently used one went.
    assert!(dictionaries.get(first).is_some() && dictionaries.get(third).is_some());
    assert!(dictionaries.get(second).is_none());
}

#[test]
fn the_least_recently_used_scope_is_forgotten_with_its_dictionary() {
    let dictionaries = Dictionaries::bounded(9, 2, 1 << 20);
    let dictionary = trained();
    let scopes = [1, 2, 3].map(DictionaryScope);
    assert!(dictionaries.adopt(scopes[0], &dictionary));
    assert!(dictionaries.adopt(scopes[1], &dictionary));
    assert!(dictionaries.for_writing(scopes[0]).is_some());
    assert!(dictionaries.adopt(scopes[2], &dictionary));
    let are_there = scopes.map(|scope| dictionaries.for_writing(scope).is_some());
    assert_eq!(are_there, [true, false, true]);
    // It may adopt again.
    assert!(dictionaries.adopt(scopes[1], &dictionary));
}

#[test]
fn bytes_that_are_not_those_of_the_name_are_refused() {
    let (dictionaries, dictionary) = (Dictionaries::new(), trained());
    let keep = |bytes: &[u8]| {
        let kept = dictionaries.keep(dictionary.hash(), Bytes::copy_from_slice(bytes));
        kept.map(|kept| kept.hash())
    };
    let mut changed = dictionary.bytes().to_vec();
    changed[300] ^= 1;
    for other in [&changed[..], &changed[..299], b""] {
        assert_eq!(keep(other), Err("a dictionary whose bytes are not those of its name"));
    }
    let large = vec![7; DICTIONARY_BYTES_MAX + 1];
    assert_eq!(keep(&large), Err("a dictionary that is empty or too large"));
    assert!(dictionaries.get(dictionary.hash()).is_none());
    assert_eq!(keep(dictionary.bytes()), Ok(dictionary.hash()));
    assert!(dictionaries.get(dictionary.hash()).is_some());
}

#[test]
fn bytes_that_zstd_cannot_use_are_no_dictionary() {
    let refused = |bytes: Vec<u8>| Dictionary::new(bytes.into()).unwrap_err();
    assert_eq!(refused(vec![]), "a dictionary that is empty or too large");
    // The beginning of a trained one, then no tables.
    let mut forged = trained().bytes()[..8].to_vec();
    forged.extend([0xFF; 200]);
    assert_eq!(refused(forged), "a dictionary that zstd cannot use");
}

#[test]
fn a_name_has_sixteen_digits_and_is_never_zero() {
    assert_eq!(DictionaryHash::from_number(0), None);
    let hash = DictionaryHash::from_number(0xAB).unwrap();
    assert_eq!((hash.to_string().as_str(), hash.number()), ("00000000000000ab", 0xAB));
}

#[test]
fn threads_share_a_dictionary() {
    let dictionary = trained();
    std::thread::scope(|threads| {
        for seed in 0..4 {
            let dictionary = &dictionary;
            threads.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed);
                for _ in 0..50 {
                    let plain = plain(&products(&mut random));
                    let frame = pack_frame(plain.bytes(), Some(dictionary), <[u8]>::to_vec).unwrap();
                    // By turns with others, a context keeps no dictionary.
                    let bare = pack_frame(plain.bytes(), None, <[u8]>::to_vec).unwrap();
                    let unpacked = |frame: &[u8], dictionary: Option<&Dictionary>| {
                        unpack_frame(frame, plain.bytes().len(), dictionary, <[u8]>::to_vec)
                    };
                    assert_eq!(unpacked(&frame, Some(dictionary)).unwrap(), plain.bytes());
                    assert_eq!(unpacked(&bare, None).unwrap(), plain.bytes());
                    assert!(unpacked(&frame, None).is_err());
                }
            });
        }
    });
}
