//! Numbers as keys and scripts write them.

use std::time::Duration;

/// 32 random bits: they tell apart what a rewound Redis numbers alike. Nothing secret.
pub(crate) fn nonce() -> u32 {
    getrandom::u32().unwrap_or_else(|_| fastrand::u32(..))
}

/// A nonce as scripts and keys write it.
pub(crate) fn hex(nonce: u32) -> String {
    format!("{nonce:08x}")
}

/// Milliseconds for Redis, which takes no more than an i64 and adds them to the time.
pub(crate) fn millis(duration: Duration) -> u64 {
    const A_CENTURY: u64 = 100 * 365 * 24 * 3600 * 1000;
    u64::try_from(duration.as_millis()).unwrap_or(A_CENTURY).min(A_CENTURY)
}
