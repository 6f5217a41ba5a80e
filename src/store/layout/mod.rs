//! What lies where in Redis, and in which bytes.
//!
//! `keys` names every key. `head_codec`, `kept_codec`, `chunk_codec`, `delta_codec`, `sidecar_codec` and `announcements` are the values; `packed`,
//! `numbers`, `entry_id` and `seen` are what they have in common.
//!
//! What must hold: heads and chunks carry check sums, so a value that another program changed is refused. A change that an older
//! release cannot read needs another [`LAYOUT`](keys::LAYOUT). `<prefix>:meta` has no layout in its name, because it tells layouts apart: a
//! node that disagrees about it refuses to start.

pub(super) mod announcements;
pub(super) mod chunk_codec;
pub(super) mod delta_codec;
pub(super) mod entry_id;
pub(super) mod head_codec;
pub(super) mod kept_codec;
pub(super) mod keys;
pub(super) mod numbers;
pub(super) mod packed;
pub(super) mod seen;
pub(super) mod sidecar_codec;
