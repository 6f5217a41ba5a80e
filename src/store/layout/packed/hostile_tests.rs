//! Packed bytes that are damaged, forged, or of another dictionary.

use std::{
    io::Write,
    sync::{Arc, LazyLock},
};

use proptest::prelude::*;

use super::{frame::PLAIN_BYTES_MAX, *};
use crate::{
    listing::Item,
    store::dictionaries::{
        Dictionary, DictionaryHash,
        testing::{products, trained},
    },
};

static DICTIONARY: LazyLock<Arc<Dictionary>> = LazyLock::new(trained);

const OTHER_LENGTH: &str = "a frame of another length";
const DAMAGED_FRAME: &str = "a damaged frame, or one of another dictionary";
const TRAILING: &str = "a frame that does not end where its bytes end";
const TOO_LARGE: &str = "packed bytes that say they are too large";

fn items() -> Vec<Item> {
    products(&mut fastrand::Rng::with_seed(3))
}

fn find(hash: DictionaryHash) -> Option<Arc<Dictionary>> {
    (DICTIONARY.hash() == hash).then(|| DICTIONARY.clone())
}

/// A frame behind a head that says so.
fn packed(dictionary: u64, plain_len: usize, frame: &[u8]) -> Vec<u8> {
    let plain_len = u32::try_from(plain_len).unwrap();
    [&[1][..], &dictionary.to_le_bytes(), &plain_len.to_le_bytes(), frame].concat()
}

fn frame_of(plain: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(plain, 3).unwrap()
}

/// Both ways of unpacking say no for the same reason.
#[track_caller]
fn check(packed: &[u8], expect: UnpackError) {
    assert_eq!(unpack_chunk(packed, find).unwrap_err(), expect);
    assert_eq!(unpack_items(packed, find).unwrap_err(), expect);
}

#[track_caller]
fn check_damaged(packed: &[u8], reason: &'static str) {
    check(packed, UnpackError::Damaged(reason));
}

/// A plain form behind the byte that says it is one, and in a frame.
#[track_caller]
fn check_plain(plain: &[u8], reason: &'static str) {
    check_damaged(&[&[0], plain].concat(), reason);
    check_damaged(&packed(0, plain.len(), &frame_of(plain)), reason);
}

#[test]
fn bytes_that_end_too_soon_or_too_late_are_refused() {
    let plain = PlainChunk::of(&items()).unwrap();
    let as_it_is = [&[0], plain.bytes()].concat();
    for whole in [as_it_is, plain.pack(None), plain.pack(Some(&DICTIONARY))] {
        assert!(unpack_chunk(&whole, find).is_ok());
        for end in 0..whole.len() {
            let (chunk, items) = (unpack_chunk(&whole[..end], find), unpack_items(&whole[..end], find));
            assert!(matches!(chunk, Err(UnpackError::Damaged(_))), "{end}");
            assert!(matches!(items, Err(UnpackError::Damaged(_))), "{end}");
        }
        for behind in [&[0][..], &[1], b"\x28\xB5\x2F\xFD", &whole[13..]] {
            let longer = [&whole, behind].concat();
            assert!(matches!(unpack_chunk(&longer, find), Err(UnpackError::Damaged(_))));
            assert!(matches!(unpack_items(&longer, find), Err(UnpackError::Damaged(_))));
        }
    }
}

#[test]
fn an_unknown_format_is_refused() {
    for value in [&b""[..], b"\x02", b"{}", b"\xFF\x00"] {
        check_damaged(value, "packed bytes of an unknown format");
    }
}

#[test]
fn a_length_beyond_the_bound_is_refused_before_anything_else() {
    // A format, and one byte too many.
    let plain = vec![0; 1 + PLAIN_BYTES_MAX + 1];
    let never = |_| panic!("the dictionary is looked for");
    for claimed in [PLAIN_BYTES_MAX + 1, u32::MAX as usize] {
        let packed = packed(7, claimed, &frame_of(&plain));
        assert_eq!(unpack_items(&packed, never), Err(UnpackError::Damaged(TOO_LARGE)));
    }
}

#[test]
fn a_frame_that_says_another_length_is_refused() {
    let plain = PlainChunk::of(&items()).unwrap();
    let (plain, frame) = (plain.bytes(), frame_of(plain.bytes()));
    assert!(unpack_chunk(&packed(0, plain.len(), &frame), find).is_ok());
    for claimed in [0, 1, plain.len() - 1, plain.len() + 1, PLAIN_BYTES_MAX] {
        check_damaged(&packed(0, claimed, &frame), OTHER_LENGTH);
    }
    let mut stream = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    stream.write_all(plain).unwrap();
    check_damaged(&packed(0, plain.len(), &stream.finish().unwrap()), OTHER_LENGTH);
}

#[test]
fn a_bomb_unpacks_to_no_more_than_it_says() {
    // 64 MB in some KB, with a window, and 1 MB without one. The header is made to say less, then more.
    for (plain_len, header, length_at) in [(64 << 20, 0x80, 6), (1 << 20, 0xA0, 5)] {
        let mut frame = frame_of(&vec![b'0'; plain_len]);
        assert!(frame.len() < 10_000);
        assert_eq!(frame[4], header, "four bytes of length");
        for claimed in [0, 1, 300, 100_000, (1 << 20) - 1, (1 << 20) + 1, PLAIN_BYTES_MAX] {
            let length = u32::try_from(claimed).unwrap().to_le_bytes();
            frame[length_at..length_at + 4].copy_from_slice(&length);
            check_damaged(&packed(0, claimed, &frame), DAMAGED_FRAME);
        }
    }
}

#[test]
fn one_frame_is_one_frame() {
    let plain = PlainChunk::of(&items()).unwrap();
    let (plain, frame) = (plain.bytes(), frame_of(plain.bytes()));
    check_damaged(&packed(0, plain.len(), &[&frame[..], &frame].concat()), TRAILING);
    check_damaged(
        &packed(0, plain.len(), &[&frame[..], &frame_of(b"")].concat()),
        TRAILING,
    );
    // A frame that decoders skip.
    let skipped = b"\x50\x2A\x4D\x18\x04\0\0\0meta";
    check_damaged(&packed(0, plain.len(), &[&frame[..], skipped].concat()), TRAILING);
    check_damaged(&packed(0, plain.len(), &[skipped, &frame[..]].concat()), OTHER_LENGTH);
    check_damaged(&packed(0, 0, skipped), "a packed chunk that ends too soon");
    check_damaged(&packed(0, 3, b"abc"), OTHER_LENGTH);
}

#[test]
fn a_missing_dictionary_is_told_from_damage_and_named() {
    let packed = PlainChunk::of(&items()).unwrap().pack(Some(&DICTIONARY));
    let missing = UnpackError::MissingDictionary(DICTIONARY.hash());
    assert_eq!(unpack_chunk(&packed, |_| None).unwrap_err(), missing);
    assert_eq!(unpack_items(&packed, |_| None).unwrap_err(), missing);
    assert!(unpack_items(&packed, find).is_ok());
}

#[test]
fn another_dictionary_is_damage() {
    let mut other = DICTIONARY.bytes().to_vec();
    // The number that zstd knows it by.
    other[4] ^= 1;
    let other = Arc::new(Dictionary::new(other.into()).unwrap());
    let raw = Arc::new(Dictionary::new(vec![b'x'; 1000].into()).unwrap());
    let packed = PlainChunk::of(&items()).unwrap().pack(Some(&DICTIONARY));
    for wrong in [other, raw] {
        let read = unpack_chunk(&packed, |_| Some(wrong.clone()));
        assert_eq!(read, Err(UnpackError::Damaged(DAMAGED_FRAME)));
    }
    let mut without = packed;
    without[1..9].fill(0);
    check_damaged(&without, DAMAGED_FRAME);
}

#[test]
fn lengths_and_ids_that_cannot_be_are_refused() {
    let cut_off = "a packed chunk that ends too soon";
    let many = "a packed chunk that says it has too many items";
    let no_id = "a packed chunk with an id that is none";
    let lengths = "a packed chunk whose lengths do not add up";
    check_plain(b"\x80", cut_off);
    check_plain(b"\x00", "a packed chunk without items");
    check_plain(b"\x00a1", "a packed chunk without items");
    // Counts that the bytes cannot hold, up to 2^32, and beyond it.
    check_plain(b"\x01\x01\x00", many);
    check_plain(b"\x02\x01\x01a1b", many);
    check_plain(b"\xFF\xFF\xFF\xFF\x0F\x01\x01a1", many);
    check_plain(b"\xFF\xFF\xFF\xFF\x1F\x01\x01a1", cut_off);
    check_plain(b"\x80\x80\x80\x80\x80\x01\x01\x01a1", cut_off);
    let too_many = [&[0xE9, 0x07][..], &[1, 0].repeat(1001), &b"a".repeat(1001)].concat();
    check_plain(&too_many, many);
    // Lengths.
    check_plain(b"\x01\x01\x02a1", lengths);
    check_plain(b"\x01\x01\x00a1", lengths);
    check_plain(b"\x01\x01\xFF\xFF\xFF\xFF\x0Fa1", lengths);
    check_plain(b"\x01\x01\xFF\xFF\xFF\xFF\xFF\x0F1", cut_off);
    check_plain(b"\x02\x01\x01\x01\x80\x80\x80", cut_off);
    // Ids.
    check_plain(b"\x01\x00\x02a1", no_id);
    let long = [&b"\x01\x81\x02\x01"[..], &b"a".repeat(257), b"1"].concat();
    check_plain(&long, no_id);
    check_plain(b"\x01\x01\x01\xFF1", no_id);
    // One character, of which each of two ids has a half.
    check_plain(b"\x02\x01\x01\x01\x01\xC3\xA412", no_id);
    // A character that the JSON goes on with.
    check_plain(b"\x01\x01\x01\xC3\xA4", no_id);
}

proptest! {
    #[test]
    fn any_bytes_give_a_chunk_or_an_error(
        format in 0..3u8,
        bytes in prop::collection::vec(prop_oneof![0..4u8, any::<u8>()], 0..200),
    ) {
        let value = [&[format][..], &bytes].concat();
        let (chunk, items) = (unpack_chunk(&value, find), unpack_items(&value, find));
        prop_assert_eq!(chunk.map(|chunk| chunk.len()), items.map(|items| items.len()));
    }

    #[test]
    fn a_changed_byte_gives_a_chunk_or_an_error(at: prop::sample::Index, bits in 1..=255u8, with_dictionary: bool) {
        let dictionary = with_dictionary.then(|| &**DICTIONARY);
        let mut packed = PlainChunk::of(&items()).unwrap().pack(dictionary);
        let at = at.index(packed.len());
        packed[at] ^= bits;
        let (chunk, items) = (unpack_chunk(&packed, find), unpack_items(&packed, find));
        prop_assert_eq!(chunk.map(|chunk| chunk.len()), items.map(|items| items.len()));
    }
}
