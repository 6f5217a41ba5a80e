//! Parts of a deflate stream (RFC 1951), made apart from each other: each begins and ends on a byte boundary.

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress};

/// The most that a back reference can reach.
const REACH_BYTES: usize = 32 * 1024;
/// Parts are made once and sent often; above this level they take half as long again and are hardly smaller.
const LEVEL: Compression = Compression::new(7);

/// Makes parts. Costs some hundreds of KB, so it is used again and again.
#[derive(Debug)]
pub struct Deflater {
    compress: Compress,
}

impl Deflater {
    /// A new one.
    pub fn new() -> Self {
        Self {
            compress: Compress::new(LEVEL, false),
        }
    }

    /// Deflates `text`, to stand right behind `dictionary` in a stream: it may refer to it.
    ///
    /// `None` where that fails, which it has no reason to.
    pub fn deflate(
        &mut self,
        dictionary: impl IntoIterator<Item = Bytes>,
        text: impl IntoIterator<Item = Bytes>,
    ) -> Option<Bytes> {
        self.compress.reset();
        let dictionary = dictionary.into_iter().collect::<Vec<_>>().concat();
        if !dictionary.is_empty() {
            let beyond = dictionary.len().saturating_sub(REACH_BYTES);
            self.compress.set_dictionary(&dictionary[beyond..]).ok()?;
        }
        let mut packed = Vec::new();
        for slice in text {
            self.feed(&slice, FlushCompress::None, &mut packed)?;
        }
        self.feed(&[], FlushCompress::Sync, &mut packed)?;
        // A kept value takes no more memory than it needs.
        Some(Bytes::from(packed.into_boxed_slice()))
    }

    fn feed(&mut self, mut text: &[u8], flush: FlushCompress, packed: &mut Vec<u8>) -> Option<()> {
        loop {
            packed.reserve(1024.max(text.len() / 4));
            let before = self.compress.total_in();
            self.compress.compress_vec(text, packed, flush).ok()?;
            let taken = usize::try_from(self.compress.total_in() - before).ok()?;
            text = text.get(taken..)?;
            // Room left over: there is nothing more to come.
            if text.is_empty() && packed.len() < packed.capacity() {
                return Some(());
            }
        }
    }
}

impl Default for Deflater {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::DeflateDecoder;
    use proptest::prelude::*;

    use super::*;

    /// A final block of nothing.
    const END: [u8; 2] = [0x03, 0x00];

    fn inflate(stream: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        DeflateDecoder::new(stream).read_to_end(&mut text).unwrap();
        text
    }

    /// Text that repeats itself, as listings do.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let words = prop::collection::vec((0u16..400, 1usize..40), 0..400);
        words.prop_map(|words| {
            let words = words
                .into_iter()
                .map(|(word, times)| format!("\"{word}\":").repeat(times));
            words.collect::<String>().into_bytes()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Parts made apart, each with the one before as its dictionary, are one stream.
        #[test]
        fn parts_are_a_stream(parts in prop::collection::vec(text(), 1..4), noise in prop::collection::vec(any::<u8>(), 0..70_000)) {
            let mut parts: Vec<Bytes> = parts.into_iter().map(Bytes::from).collect();
            parts.insert(1, noise.into());
            let mut deflater = Deflater::new();
            let mut stream = deflater.deflate([], [parts[0].clone()]).unwrap().to_vec();
            for pair in parts.windows(2) {
                let half = pair[1].len() / 2;
                let text = [pair[1].slice(..half), pair[1].slice(half..)];
                stream.extend(deflater.deflate([pair[0].clone()], text).unwrap());
            }
            stream.extend(END);
            prop_assert_eq!(inflate(&stream), parts.concat());
        }
    }

    /// Bytes that cannot be deflated go out in blocks of their own; near the bounds of such blocks a flush has been seen to lose the end.
    #[test]
    fn noise_of_any_length_is_whole() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut deflater = Deflater::new();
        let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(66_000).collect();
        for length in (31_700..32_900).step_by(7).chain((65_000..66_000).step_by(13)) {
            let text = Bytes::copy_from_slice(&noise[..length]);
            let halves = [text.slice(..length / 2), text.slice(length / 2..)];
            let mut stream = deflater.deflate([], halves).unwrap().to_vec();
            stream.extend(END);
            assert_eq!(inflate(&stream), text, "{length} bytes");
        }
    }

    #[test]
    fn a_dictionary_saves_what_was_sent_before() {
        let text = Bytes::from((0..300).map(|n| format!("{{\"id\":{n}}}")).collect::<String>());
        let mut deflater = Deflater::new();
        let alone = deflater.deflate([], [text.clone()]).unwrap();
        let again = deflater.deflate([text.clone()], [text]).unwrap();
        assert!(again.len() * 10 < alone.len(), "{} after {}", again.len(), alone.len());
    }
}
