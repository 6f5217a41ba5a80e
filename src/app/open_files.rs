//! The process's limit of open files, and the connections that it allows.

use crate::{config::HttpLimits, http::BEYOND_MAX};

/// Files besides clients' connections: Redis, origins, the runtime, what is read and written.
const OTHERS: usize = 256;

/// Raises the soft limit as far as these sockets' connections need it. Where the hard limit is too low, lowers
/// `connections_max` and says so: without files left, Redis and origins could not be reached either.
pub(super) fn make_room(limits: &mut HttpLimits, sockets: usize) {
    let wanted = sockets * (limits.connections_max + BEYOND_MAX) + OTHERS;
    let Some(allowed) = raise(wanted) else {
        return;
    };
    let lowered = fitting(allowed, sockets);
    if lowered < limits.connections_max {
        tracing::warn!(
            connections_max = limits.connections_max,
            lowered_to = lowered,
            open_files_max = allowed,
            open_files_wanted = wanted,
            "http.connections_max lowered: the limit of open files is too low for it; raise that limit (ulimit -Hn, LimitNOFILE=)"
        );
        limits.connections_max = lowered;
    }
}

/// How many connections each socket may have, given so many files.
fn fitting(files: usize, sockets: usize) -> usize {
    // Of very few files half are for others.
    let for_clients = files.saturating_sub(OTHERS).max(files / 2);
    (for_clients / sockets.max(1)).saturating_sub(BEYOND_MAX).max(1)
}

/// Raises the soft limit to what is wanted, or as near as the hard limit allows. Returns what it is then, if that is known.
#[cfg(target_os = "linux")]
fn raise(wanted: usize) -> Option<usize> {
    use nix::sys::resource::{Resource::RLIMIT_NOFILE, getrlimit, setrlimit};

    let (soft, hard) = getrlimit(RLIMIT_NOFILE).ok()?;
    let raised = soft.max(hard.min(wanted as u64));
    let allowed = match raised > soft && setrlimit(RLIMIT_NOFILE, raised, hard).is_ok() {
        true => raised,
        false => soft,
    };
    usize::try_from(allowed).ok()
}

#[cfg(not(target_os = "linux"))]
fn raise(_: usize) -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_files_for_others() {
        assert_eq!(fitting(10_000 + BEYOND_MAX + OTHERS, 1), 10_000);
        assert_eq!(fitting(2 * (500 + BEYOND_MAX) + OTHERS, 2), 500);
        assert_eq!(fitting(100, 1), 34);
        assert_eq!(fitting(0, 1), 1);
    }
}
