//! From Redis into L1: one load for all requests that wait for the same thing.
//!
//! - [`heads`]: which head may be served. Head and chunks come in **one** round trip: a pipeline of HMGET and an XRANGE that speculates
//!   on the last known generation. A head that was never seen costs two. No scripts: they cost the server a multiple of a range read.
//! - [`chunks`]: the missing chunks of a page with one XRANGE over the smallest range that covers them; those that lie apart with one each, in one turn.
//! - [`columns`]: what filters are answered by, made of all items of a generation.
//! - [`pushed_sorts`]: the sorts of a pushed name. [`lost_pushed`]: tells of pushed listings that are gone.
//!
//! What must hold:
//!
//! - A head that is known and too old is served once its reading is overdue; the reading goes on behind.
//! - A load begins where it is asked for first, on that worker's own connection. It goes on elsewhere when that request goes away.
//! - A chunk is kept only if it holds as many items as its generation promises. Anybody can make a cursor of another shape, so loads are
//!   joined by shape too.
//! - A reading that meets damage makes the head table forget the head, so that the next request mends it.

pub(super) mod chunks;
pub(super) mod columns;
pub(super) mod heads;
pub(super) mod lost_pushed;
pub(super) mod pushed_sorts;
