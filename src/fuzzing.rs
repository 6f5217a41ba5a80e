//! The functions that the fuzz targets in `fuzz/` call, one for each: whatever comes in, nothing panics, and the results
//! hold together. `make test` runs the corpora and their neighbours through the same functions.

use std::num::NonZeroU32;

use crate::{
    config::Sources,
    engine::{DeclaredParameters, Place},
    http::query::{PageQuery, Sizes},
    listing::{
        Cursor, Item, ListingKey,
        document::{DocumentFormat, DocumentReader},
        sidecar::{KEY_BYTES_MAX, decode_ids, decode_keys},
    },
};

const SIZES: Sizes = Sizes {
    default: NonZeroU32::new(24).unwrap(),
    max: NonZeroU32::new(250).unwrap(),
};

/// A query string: accepted values are in bounds, and undeclared parameters change nothing.
pub fn query(data: &[u8]) {
    let Ok(raw) = std::str::from_utf8(data) else { return };
    let declared = DeclaredParameters {
        names: vec!["brand".into(), "currency".into()],
        filters: vec!["colour".into()],
    };
    let query = PageQuery::read(raw, &declared, SIZES);
    let place = format!("{:?}", query.place);
    if query.errors.is_empty()
        && let Place::Offset { limit, .. } = &query.place
    {
        assert!(*limit <= SIZES.max, "{query:?}");
    }
    let errors = format!("{:?}", query.errors);
    let longer = format!("utm_source=a&{raw}&%FF=1&b");
    let longer = PageQuery::read(&longer, &declared, SIZES);
    assert_eq!(place, format!("{:?}", longer.place));
    assert_eq!(errors, format!("{:?}", longer.errors));
}

/// A cursor: one text a cursor, and one cursor a text.
pub fn cursor(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Some(key) = ListingKey::parse("category:BREAD/price") else {
        return;
    };
    let Some(claimed) = Cursor::claimed(text) else { return };
    let filters = claimed.filters;
    if let Ok(cursor) = Cursor::decode(text, &key, filters) {
        assert_eq!(cursor.encode(&key), text);
        assert_eq!(cursor, claimed);
        assert!(Cursor::decode(text, &key, filters.wrapping_add(1)).is_err());
    }
    assert_eq!(Cursor::decode(&claimed.encode(&key), &key, filters).ok(), Some(claimed));
}

/// An answer of Redis, byte for byte.
pub fn reply(data: &[u8]) {
    crate::store::decode_anything(data);
}

/// Segments of a sidecar. The first byte chooses how many items they must have: there are as many, or an error.
pub fn sidecar(data: &[u8]) {
    let [items, segment @ ..] = data else { return };
    let items = u64::from(*items);
    if let Ok(keys) = decode_keys(segment, items) {
        assert_eq!(keys.len() as u64, items);
        assert!(keys.iter().all(|key| key.len() <= KEY_BYTES_MAX));
        assert!(keys.iter().is_sorted());
    }
    if let Ok(ids) = decode_ids(segment, items) {
        assert_eq!(ids.len() as u64, items);
    }
}

/// A body of items: the same items, or the same error, in whatever pieces it comes. The first two bytes choose the format
/// and the pieces.
pub fn body(data: &[u8]) {
    let [format, piece, document @ ..] = data else { return };
    let format = match format % 2 {
        0 => DocumentFormat::JsonArray,
        _ => DocumentFormat::NdJson,
    };
    let read = |pieces: &[&[u8]]| {
        let mut reader = DocumentReader::new(format, "id", 1000);
        let mut items: Vec<Item> = Vec::new();
        let fed = pieces.iter().try_for_each(|piece| reader.feed(piece, &mut items));
        let ended = fed.and_then(|()| reader.end(&mut items));
        let items: Vec<_> = items.into_iter().map(|item| (item.id, item.json)).collect();
        (items, format!("{ended:?}"))
    };
    let whole = read(&[document]);
    let in_pieces = read(&document.chunks(usize::from(piece % 16) + 1).collect::<Vec<_>>());
    assert_eq!(whole, in_pieces);
}

/// A configuration: it is taken, or told what is wrong.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(errors) = Sources::default().load_text(text) {
        assert!(!errors.to_string().is_empty());
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Mutations of each file.
    const MUTATIONS: usize = 300;

    /// As a fuzzer begins: a byte changed, removed, doubled, or a piece of another file in its place.
    fn mutate(file: &[u8], other: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = file.to_vec();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..=bytes.len());
            match random.u32(..5) {
                0 if at < bytes.len() => bytes[at] = random.u8(..),
                1 if at < bytes.len() => bytes[at] ^= 1 << random.u32(..8),
                2 if at < bytes.len() => {
                    bytes.remove(at);
                }
                3 if !bytes.is_empty() => {
                    let piece = bytes[at.min(bytes.len() - 1)..].to_vec();
                    bytes.extend(piece.into_iter().take(40));
                }
                _ => {
                    let from = random.usize(..=other.len());
                    let piece = &other[from..(from + random.usize(..20)).min(other.len())];
                    bytes.splice(at..at, piece.iter().copied());
                }
            }
        }
        bytes
    }

    #[track_caller]
    fn check(target: &str, run: fn(&[u8]), least: usize) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut names: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        names.sort();
        assert!(names.len() >= least, "{} files in {}", names.len(), folder.display());
        let files: Vec<Vec<u8>> = names.iter().map(|name| fs::read(name).unwrap()).collect();
        let mut random = fastrand::Rng::with_seed(1);
        for (name, file) in names.iter().zip(&files) {
            eprintln!("{}", name.display());
            run(file);
            for _ in 0..MUTATIONS {
                let other = &files[random.usize(..files.len())];
                let mutated = mutate(file, other, &mut random);
                if std::panic::catch_unwind(|| run(&mutated)).is_err() {
                    panic!("{} as {:?}", name.display(), String::from_utf8_lossy(&mutated));
                }
            }
        }
    }

    #[test]
    fn queries() {
        check("query", query, 15);
    }

    #[test]
    fn cursors() {
        check("cursor", cursor, 4);
    }

    #[test]
    fn replies() {
        check("reply", reply, 10);
    }

    #[test]
    fn sidecars() {
        check("sidecar", sidecar, 5);
    }

    #[test]
    fn bodies() {
        check("body", body, 12);
    }

    #[test]
    fn configurations() {
        check("config", config, 8);
    }
}
