//! Every node shows the same: announcements, live followers, and the comparison that finds what was missed.

pub(super) mod announcer;
pub(super) mod checker;
pub(super) mod evictions;
pub(super) mod followers;
pub(super) mod hearing;
