//! Reading a page: which listing, which generation, which items.
//!
//! [`selector`] makes a [`selection`] of a client's choices: one listing key and a direction. [`pages`] is the front, and answers
//! from L1 without a future. A page that L1 lacks is read by [`current`], or by [`pins`] where a generation is asked for. Both go by
//! these parts:
//!
//! - [`freshness`]: which head may be served, and how fresh its pages are. It starts a refresh of an ageing head.
//! - [`cutting`]: the items of a window. [`fragments`]: the same items, deflated.
//! - [`narrowing`]: which of its items filters select.
//! - [`fills`]: waits for a listing that is not there.
//! - [`without_redis`]: the first page straight from the origin. [`read_ahead`]: the page after this one.
//!
//! What must hold:
//!
//! - Head and items of a page are of one generation, and a page is whole or not served at all (invariant 1).
//! - A page in L1 makes no future, takes no lock but the head table's for reading, and asks Redis nothing.
//! - No request waits for a reconnection, or for a Redis that does not answer: a head that is known is served meanwhile.
//! - A request waits at most `fill_wait` in all. A load that others wait for belongs to no request.
//! - The head table counts a page as read once.

pub(super) mod current;
pub(super) mod cutting;
pub(super) mod fills;
pub(super) mod fragments;
pub(super) mod freshness;
pub(super) mod narrowing;
pub(super) mod page;
pub(super) mod pages;
pub(super) mod pins;
pub(super) mod read_ahead;
pub(super) mod selection;
pub(super) mod selector;
pub(super) mod without_redis;
