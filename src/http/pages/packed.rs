//! A page as one gzip member (RFC 1952), stitched from parts that were deflated before.
//!
//! ```text
//! header, prefix │ fragment │ fragment │ … │ "]}", end │ CRC-32 │ length
//! ```
//! Nothing is deflated and nothing is copied here: the body is a list of slices, as the plain one is. A part that is not deflated
//! yet goes out in stored blocks, unchanged. The check sum of all is combined from those of the parts, once a
//! page, for the same page has the same: [`PackedEnvelope`] keeps it, and the deflated prefix.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwapOption;
use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    engine::{PackedItems, PackedPiece},
    listing::{Checksum, Deflater},
};

/// A member without name and time, of no certain system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The most that a stored block holds.
const STORED_BYTES_MAX: usize = 65_535;
const SUFFIX: &[u8] = b"]}";
/// The suffix, deflated, as the last block: a block of fixed codes, two literals, the end of the block.
const FINAL_BLOCK: [u8; 4] = FIXED.to_le_bytes();
/// Codes stand from the lowest bit on; Huffman codes with their highest bit first.
const FIXED: u32 = 0b1 | 0b01 << 1 | literal(SUFFIX[0]) << 3 | literal(SUFFIX[1]) << 11;

/// The fixed code of a byte below 144.
const fn literal(byte: u8) -> u32 {
    (0x30 + byte).reverse_bits() as u32
}

/// The parts of a page's member besides its items, made once a generation and window.
#[derive(Debug, Default)]
pub(crate) struct PackedEnvelope {
    /// Header and deflated prefix.
    opening: OnceLock<Bytes>,
    is_asked: AtomicBool,
    prefix_sum: OnceLock<Checksum>,
    closing: ArcSwapOption<Closing>,
}

/// The end of a member, and for which items it is right.
#[derive(Debug)]
struct Closing {
    /// Mixed from the check sums of the items' pieces.
    pieces: u64,
    /// The last block, CRC-32, length.
    bytes: Bytes,
}

impl PackedEnvelope {
    /// Asks once for the prefix to be deflated; again where `ask` says that it was refused.
    pub(crate) fn ask_for_opening(&self, ask: impl FnOnce() -> bool) {
        if self.opening.get().is_none() && !self.is_asked.swap(true, Ordering::Relaxed) && !ask() {
            self.is_asked.store(false, Ordering::Relaxed);
        }
    }

    /// Deflates the prefix.
    pub(crate) fn make_opening(&self, deflater: &mut Deflater, prefix: &Bytes) {
        if let Some(packed) = deflater.deflate([], [prefix.clone()]) {
            let opening = [&HEADER[..], &packed].concat();
            self.opening.get_or_init(|| opening.into());
        }
    }

    fn closing(&self, prefix: &Bytes, items: &PackedItems) -> Bytes {
        let sums = || items.pieces.iter().map(PackedPiece::sum);
        let pieces = sums().fold(0, |mixed: u64, sum| {
            // Odd multipliers lose nothing of what was mixed in before.
            (mixed.rotate_left(29) ^ (u64::from(sum.crc) << 32 | sum.bytes & 0xffff_ffff))
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        if let Some(closing) = &*self.closing.load()
            && closing.pieces == pieces
        {
            return closing.bytes.clone();
        }
        let prefix = *self.prefix_sum.get_or_init(|| Checksum::of([prefix.clone()]));
        let suffix = Checksum::of([Bytes::from_static(SUFFIX)]);
        let sum = sums().chain([suffix]).fold(prefix, Checksum::then);
        let mut bytes = BytesMut::with_capacity(FINAL_BLOCK.len() + 8);
        bytes.put_slice(&FINAL_BLOCK);
        bytes.put_u32_le(sum.crc);
        // The length, modulo 2^32.
        bytes.put_u32_le(sum.bytes as u32);
        let bytes = bytes.freeze();
        let closing = Closing {
            pieces,
            bytes: bytes.clone(),
        };
        self.closing.store(Some(Arc::new(closing)));
        bytes
    }
}

/// How long the page is when it is unpacked.
pub(crate) fn plain_bytes(prefix: &Bytes, items: &PackedItems) -> u64 {
    let items: u64 = items.pieces.iter().map(|piece| piece.sum().bytes).sum();
    prefix.len() as u64 + items + SUFFIX.len() as u64
}

/// The slices of a member.
pub(crate) fn slices(envelope: &PackedEnvelope, prefix: &Bytes, items: &PackedItems) -> Vec<Bytes> {
    // As many as there are, unless something goes out as it is.
    let mut slices = Vec::with_capacity(items.pieces.len() + 2);
    match envelope.opening.get() {
        Some(opening) => slices.push(opening.clone()),
        None => {
            slices.push(Bytes::from_static(&HEADER));
            push_stored(&mut slices, [prefix.clone()].into_iter());
        }
    }
    for (at, piece) in items.pieces.iter().enumerate() {
        match piece {
            PackedPiece::Fragment(fragment) => slices.push(fragment.packed.clone()),
            PackedPiece::Plain(run, _) => push_stored(&mut slices, run.slices_after(at > 0)),
        }
    }
    slices.push(envelope.closing(prefix, items));
    slices
}

/// Stored blocks: text as it is, each block with its length before it.
fn push_stored(slices: &mut Vec<Bytes>, text: impl Iterator<Item = Bytes>) {
    let mut block = Vec::new();
    let mut room = STORED_BYTES_MAX;
    for mut slice in text {
        while slice.len() > room {
            block.push(slice.split_to(room));
            push_block(slices, &mut block);
            room = STORED_BYTES_MAX;
        }
        room -= slice.len();
        block.push(slice);
    }
    push_block(slices, &mut block);
}

fn push_block(slices: &mut Vec<Bytes>, block: &mut Vec<Bytes>) {
    let length: usize = block.iter().map(Bytes::len).sum();
    // Never more than fits: the block was filled so.
    let length = length as u16;
    let mut head = BytesMut::with_capacity(5);
    // Not the last block, stored; the rest of the byte is empty.
    head.put_u8(0);
    head.put_u16_le(length);
    head.put_u16_le(!length);
    slices.push(head.freeze());
    slices.append(block);
}

#[cfg(test)]
mod tests {
    use std::{io::Read, num::NonZeroU32};

    use actix_web::body::to_bytes;
    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        engine::PageItems,
        http::pages::body::PageBody,
        listing::{Chunk, Direction, Fragment, Run, RunPlace, RunSum, Window},
    };

    fn unpacked(member: &[u8]) -> Vec<u8> {
        let mut decoder = GzDecoder::new(member);
        let mut text = Vec::new();
        decoder.read_to_end(&mut text).unwrap();
        assert!(decoder.into_inner().is_empty(), "one member and nothing behind it");
        text
    }

    /// A page of a listing: plain, and packed with those fragments made that `is_made` says.
    fn page(
        items: &[String],
        chunk_len: u32,
        window: Window,
        is_made: impl Fn(usize) -> bool,
    ) -> (PageItems, PackedItems) {
        let chunks: Vec<_> = items
            .chunks(chunk_len as usize)
            .map(|items| Arc::new(Chunk::join(items)))
            .collect();
        let mut plain = PageItems {
            direction: window.direction,
            pieces: Vec::new(),
        };
        let mut packed = PackedItems::default();
        let Some(plan) = window.plan(items.len() as u64, NonZeroU32::new(chunk_len).unwrap()) else {
            return (plain, packed);
        };
        let mut deflater = Deflater::new();
        let mut before: Option<Run> = None;
        for (at, place) in RunPlace::all(&plan).enumerate() {
            let chunk = &chunks[place.chunk.0 as usize];
            let run = Run {
                chunk: chunk.clone(),
                items: place.items(),
                direction: place.direction,
            };
            assert_eq!(place.before as usize, before.as_ref().map_or(0, |run| run.items.len()));
            packed.pieces.push(match is_made(at) {
                true => PackedPiece::Fragment(Arc::new(Fragment::make(&mut deflater, before.as_ref(), &run).unwrap())),
                false => PackedPiece::Plain(run.clone(), RunSum::of(&run, before.is_some()).text),
            });
            plain.pieces.push((chunk.clone(), place.items()));
            before = Some(run);
        }
        (plain, packed)
    }

    async fn check(items: &[String], chunk_len: u32, window: Window, made: u32, is_opened: bool) {
        let (plain, packed) = page(items, chunk_len, window, |at| made >> (at % 32) & 1 == 1);
        let prefix = Bytes::from_static(b"{\"offset\":7,\"items\":[");
        let envelope = PackedEnvelope::default();
        if is_opened {
            // Refused at first; then once.
            let mut asked = 0;
            for is_taken in [false, true, true] {
                envelope.ask_for_opening(|| {
                    asked += 1;
                    is_taken
                });
            }
            assert_eq!(asked, 2);
            envelope.make_opening(&mut Deflater::new(), &prefix);
        }
        let size = plain_bytes(&prefix, &packed);
        let body = to_bytes(PageBody::of(prefix.clone(), &plain)).await.unwrap();
        assert_eq!(size, body.len() as u64);
        // The second time the end is the one that was kept.
        for _ in 0..2 {
            let member = slices(&envelope, &prefix, &packed).concat();
            assert_eq!(unpacked(&member), body, "{window:?} made {made:b}");
        }
    }

    #[test]
    fn the_last_block_is_the_suffix() {
        let mut text = Vec::new();
        let mut decoder = flate2::read::DeflateDecoder::new(&FINAL_BLOCK[..]);
        decoder.read_to_end(&mut text).unwrap();
        assert_eq!((&text[..], decoder.total_in()), (SUFFIX, 4));
    }

    /// Every window of a small listing, in both orders, with all, none and each half of its fragments there.
    #[tokio::test]
    async fn every_window_inflates_to_the_plain_page() {
        let items: Vec<_> = (0..11)
            .map(|n| format!("{{\"id\":{n},\"name\":\"Loaf {n}\"}}"))
            .collect();
        for total in [0, 1, 4, 11] {
            for direction in [Direction::Forward, Direction::Reverse] {
                for (offset, limit) in
                    (0..=total + 1).flat_map(|offset| (1..=total + 1).map(move |limit| (offset, limit)))
                {
                    let window = Window {
                        offset: offset as u64,
                        limit: NonZeroU32::new(limit as u32).unwrap(),
                        direction,
                    };
                    for made in [0, u32::MAX, 0x5555_5555, 0xaaaa_aaaa] {
                        check(&items[..total], 4, window, made, made > 0).await;
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Any items, up to such as fill more than a stored block and reach farther than a dictionary.
        #[test]
        fn any_page_inflates_to_the_plain_page(
            items in prop::collection::vec((any::<u8>(), prop_oneof![9 => 0usize..200, 1 => 20_000usize..140_000]), 1..20),
            chunk_len in 1u32..8, offset in 0u64..20, limit in 1u32..22, reverse: bool, made: u32, is_opened: bool,
        ) {
            let items: Vec<_> = items
                .into_iter()
                .map(|(seed, length)| {
                    // Neither all alike nor noise.
                    let digits = (0..length).map(|at| char::from(b'0' + (at * at / 7 + usize::from(seed) + at / 11) as u8 % 10));
                    format!("\"{}\"", digits.collect::<String>())
                })
                .collect();
            let window = Window {
                offset,
                limit: NonZeroU32::new(limit).unwrap(),
                direction: if reverse { Direction::Reverse } else { Direction::Forward },
            };
            tokio::runtime::Builder::new_current_thread().build().unwrap()
                .block_on(check(&items, chunk_len, window, made, is_opened));
        }
    }

    #[test]
    fn other_items_have_another_end() {
        let window = Window {
            offset: 0,
            limit: NonZeroU32::new(9).unwrap(),
            direction: Direction::Forward,
        };
        let of = |name: &str| page(&[name.to_owned()], 4, window, |_| false).1;
        let (envelope, prefix) = (PackedEnvelope::default(), Bytes::from_static(b"["));
        let (one, two) = (of("\"one\""), of("\"two\""));
        for items in [&one, &two, &one] {
            let member = slices(&envelope, &prefix, items).concat();
            assert_eq!(unpacked(&member).len(), 8);
        }
    }
}
