//! zstd frames, packed and unpacked by the contexts of this thread.
//!
//! A context has some 90 KB (a few MB after a large chunk, for a while), so each thread makes its two once. The contexts hold no dictionary
//! between calls: any dictionary may be used with any of them, on any thread.

use std::cell::{Cell, RefCell};

use zstd::zstd_safe::{CCtx, CDict, DCtx, DDict, compress_bound, find_frame_compressed_size, get_frame_content_size};

/// zstd's level. Levels above 3 take several times as long and save a few bytes in a hundred.
pub(super) const LEVEL: i32 = 3;
/// A thread keeps its scratch up to this size. A larger one, for a large chunk, is given back.
const SCRATCH_KEPT_BYTES: usize = 256 * 1024;

thread_local! {
    static PACKING: RefCell<Option<CCtx<'static>>> = const { RefCell::new(None) };
    static UNPACKING: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Packs bytes into one frame without a check sum, and gives it to `read`, which may copy it. The frame says how many bytes are in it.
///
/// `None` where zstd cannot: memory is exhausted.
pub(super) fn pack<T>(plain: &[u8], dictionary: Option<&CDict<'_>>, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
    with_scratch(|frame| {
        frame.clear();
        frame.reserve(compress_bound(plain.len()));
        PACKING.with_borrow_mut(|kept| {
            let context = made(kept, CCtx::try_create)?;
            let packed = match dictionary {
                Some(dictionary) => context.compress_using_cdict(frame, plain, dictionary),
                None => context.compress(frame, plain, LEVEL),
            };
            packed.ok()
        })?;
        Some(read(frame))
    })
}

/// Unpacks one frame of exactly `plain_len` bytes, and gives them to `read`. `plain_len` bytes are allocated: the caller bounds it.
///
/// `Err` with the reason where the bytes are something else, or were packed with another dictionary.
pub(super) fn unpack<T>(
    frame: &[u8],
    plain_len: usize,
    dictionary: Option<&DDict<'_>>,
    read: impl FnOnce(&[u8]) -> T,
) -> Result<T, &'static str> {
    // The frame's header is read before anything is allocated. zstd ends a frame that holds another number of bytes than its header says.
    if get_frame_content_size(frame).ok().flatten() != Some(plain_len as u64) {
        return Err("a frame of another length");
    }
    // zstd itself would unpack the frames behind it too.
    if find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err("a frame that does not end where its bytes end");
    }
    with_scratch(|plain| {
        plain.clear();
        plain.reserve_exact(plain_len);
        let unpacked = UNPACKING.with_borrow_mut(|kept| {
            let context = made(kept, DCtx::try_create).ok_or("no memory to unpack a frame")?;
            let unpacked = match dictionary {
                Some(dictionary) => context.decompress_using_ddict(plain, frame, dictionary),
                None => context.decompress(plain, frame),
            };
            unpacked.map_err(|_| "a damaged frame, or one of another dictionary")
        })?;
        if unpacked != plain_len || plain.len() != plain_len {
            return Err("a frame of another length");
        }
        Ok(read(plain))
    })
}

/// The context that is kept, made where there is none.
fn made<C>(kept: &mut Option<C>, make: impl FnOnce() -> Option<C>) -> Option<&mut C> {
    if kept.is_none() {
        *kept = make();
    }
    kept.as_mut()
}

/// Lends this thread's scratch. It is taken out meanwhile, so a call inside a call gets another one.
fn with_scratch<T>(work: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    let mut scratch = SCRATCH.take();
    let done = work(&mut scratch);
    if scratch.capacity() <= SCRATCH_KEPT_BYTES {
        SCRATCH.set(scratch);
    }
    done
}
