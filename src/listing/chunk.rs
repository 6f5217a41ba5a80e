//! Chunks: `chunk_len` consecutive items, the atom at every layer.

use std::{fmt, ops::Range};

use bytes::{BufMut, Bytes, BytesMut};

/// A chunk's place in its generation: 0, 1, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkIndex(pub u64);

impl ChunkIndex {
    /// The id of the chunk's stream entry: `0-(index+1)`, for Redis has no entry 0-0.
    pub fn entry_id(self) -> String {
        format!("0-{}", self.0 + 1)
    }

    /// The chunk that an entry id names; `None` where the id is not `0-<1…>`.
    pub fn from_entry_id(entry_id: &[u8]) -> Option<Self> {
        let digits = std::str::from_utf8(entry_id.strip_prefix(b"0-")?).ok()?;
        let number: u64 = digits.parse().ok()?;
        number.checked_sub(1).map(Self)
    }
}

/// The JSON of a chunk's items, ready for the wire: `item,item,…,` in one run of bytes. Each item has its comma, the last
/// one too: so a run of items with what separates it from the next is one slice, whichever way a page goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Chunk {
    bytes: Bytes,
    /// Where each item ends, its comma not counted.
    ends: Box<[u32]>,
}

impl Chunk {
    /// Joins items. Each is copied once, here; everything after hands out slices.
    pub fn join<I>(items: I) -> Self
    where
        I: IntoIterator<Item: AsRef<[u8]>, IntoIter: Clone + ExactSizeIterator>,
    {
        let items = items.into_iter();
        let size = items.clone().map(|item| item.as_ref().len() + 1).sum();
        let mut bytes = BytesMut::with_capacity(size);
        let mut ends = Vec::with_capacity(items.len());
        for item in items {
            bytes.put_slice(item.as_ref());
            // A chunk is bounded far below 4 GiB by the limits on items.
            ends.push(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
            bytes.put_u8(b',');
        }
        Self {
            bytes: bytes.freeze(),
            ends: ends.into(),
        }
    }

    /// Cuts a run of items that lie back to back, without commas. `lengths`: bytes of each item, in order.
    ///
    /// The run is copied once. `None` where the lengths do not add up to the run, or the chunk had 4 GiB or more.
    pub fn cut(run: &[u8], lengths: impl ExactSizeIterator<Item = usize>) -> Option<Self> {
        let size = run.len().checked_add(lengths.len())?;
        u32::try_from(size).ok()?;
        let mut bytes = BytesMut::with_capacity(size);
        let mut ends = Vec::with_capacity(lengths.len());
        let mut rest = run;
        for length in lengths {
            let (item, behind) = rest.split_at_checked(length)?;
            rest = behind;
            bytes.put_slice(item);
            ends.push(u32::try_from(bytes.len()).ok()?);
            bytes.put_u8(b',');
        }
        rest.is_empty().then(|| Self {
            bytes: bytes.freeze(),
            ends: ends.into(),
        })
    }

    /// How many items it holds.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Its size in memory, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.bytes.len() + self.ends.len() * size_of::<u32>()
    }

    /// The items of a range, separated by commas; empty where the range is. The range must lie inside the chunk.
    pub fn items(&self, range: Range<usize>) -> Bytes {
        if range.is_empty() {
            return Bytes::new();
        }
        self.bytes.slice(self.start(range.start)..self.end(range.end - 1))
    }

    /// The same with a comma behind the last one, for more to follow.
    pub fn items_and_comma(&self, range: Range<usize>) -> Bytes {
        if range.is_empty() {
            return Bytes::new();
        }
        self.bytes.slice(self.start(range.start)..self.end(range.end - 1) + 1)
    }

    /// One item.
    pub fn item(&self, at: usize) -> Bytes {
        self.items(at..at + 1)
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.end(before) + 1)
    }

    fn end(&self, at: usize) -> usize {
        self.ends[at] as usize
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} items, {} bytes)", self.len(), self.bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_run_of_items_is_a_slice() {
        let chunk = Chunk::join(&["1", "{}", "[2,3]"]);
        assert_eq!(chunk.items(0..3), "1,{},[2,3]");
        assert_eq!(chunk.items(1..3), "{},[2,3]");
        assert_eq!(chunk.items(0..1), "1");
        assert_eq!(chunk.items(2..2), "");
        assert_eq!(chunk.items_and_comma(0..2), "1,{},");
        assert_eq!(chunk.items_and_comma(2..3), "[2,3],");
        assert_eq!(chunk.items_and_comma(0..0), "");
        assert_eq!(chunk.item(2), "[2,3]");
    }

    #[test]
    fn a_run_that_is_cut_is_the_chunk_that_is_joined() {
        let cut = |run: &str, lengths: &[usize]| Chunk::cut(run.as_bytes(), lengths.iter().copied());
        assert_eq!(cut("1{}[2,3]", &[1, 2, 5]), Some(Chunk::join(&["1", "{}", "[2,3]"])));
        assert_eq!(cut("", &[0, 0]), Some(Chunk::join(&["", ""])));
        assert_eq!(cut("", &[]), Some(Chunk::join::<[&str; 0]>([])));
        for wrong in [&[1, 2][..], &[1, 2, 4], &[1, 2, 6], &[usize::MAX], &[9], &[]] {
            assert_eq!(cut("1{}[2,3]", wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_first_entry_is_0_1() {
        assert_eq!(ChunkIndex(0).entry_id(), "0-1");
        assert_eq!(ChunkIndex::from_entry_id(b"0-1"), Some(ChunkIndex(0)));
        for foreign in [&b"0-0"[..], b"1-1", b"0-", b"0-x", b""] {
            assert_eq!(ChunkIndex::from_entry_id(foreign), None);
        }
    }
}
