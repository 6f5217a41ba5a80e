//! Watching a file: whether it was replaced or rewritten, by looking at it once a second.
//!
//! The kernel's own notifications would tell sooner, but not always: they follow an inode, and not a name that is renamed
//! over, a mount or a link that comes to point elsewhere; and they hear nothing of what another machine writes to a shared
//! disk. A look costs a microsecond and misses none of these.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream, stream::BoxStream};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// The properties that change when a file is replaced or written to. The time of the last change of its inode cannot be set back, as
/// that of its content can by a copy that keeps times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` where there is no file, or none that can be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// The findings of the looks so far.
#[derive(Debug, Default)]
struct FileWatch {
    /// The file's mark at the last report; `None` before the first look.
    told: Option<Option<Stamp>>,
    /// Its new mark, and when that was seen first.
    becoming: Option<(Stamp, Instant)>,
}

impl FileWatch {
    /// Takes a look in. The answer is when a change was seen first, once the file has stayed as it is for a period: a program that
    /// writes to a file in place takes a while, and half of it is not to be read. A file that is gone is no change: it may
    /// be about to be replaced, and what was read of it is still served.
    fn look(&mut self, stamp: Option<Stamp>, now: Instant) -> Option<Instant> {
        let Some(told) = self.told else {
            self.told = Some(stamp);
            return None;
        };
        let Some(stamp) = stamp.filter(|stamp| Some(*stamp) != told) else {
            self.becoming = None;
            return None;
        };
        match self.becoming {
            Some((seen, since)) if seen == stamp => {
                self.told = Some(Some(stamp));
                self.becoming = None;
                Some(since)
            }
            _ => {
                self.becoming = Some((stamp, now));
                None
            }
        }
    }
}

/// When the file was first seen as it is now, each time that it has changed. Without end.
pub(super) fn changes(path: PathBuf) -> BoxStream<'static, Instant> {
    let state = (FileWatch::default(), path);
    stream::unfold(state, |(mut watch, path)| async move {
        loop {
            let now = Instant::now();
            let asked = path.clone();
            // A disk may hang.
            let looked = tokio::task::spawn_blocking(move || Stamp::of(&asked)).await;
            let changed = looked.ok().and_then(|stamp| watch.look(stamp, now));
            if let Some(changed) = changed {
                return Some((changed, (watch, path)));
            }
            tokio::time::sleep(PERIOD).await;
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(inode: u64) -> Option<Stamp> {
        Some(Stamp {
            device: 1,
            inode,
            bytes: 0,
            modified: (0, 0),
            changed: (0, 0),
        })
    }

    /// Looks a second apart, and the second of the change that each tells of.
    #[track_caller]
    fn check(looks: &[(Option<Stamp>, Option<u64>)]) {
        let begun = Instant::now();
        let mut watch = FileWatch::default();
        for (at, (stamp, expect)) in (0..).zip(looks) {
            let told = watch.look(*stamp, begun + Duration::from_secs(at));
            assert_eq!(told.map(|told| (told - begun).as_secs()), *expect, "look {at}");
        }
    }

    #[test]
    fn a_change_is_told_once_when_the_file_stays_as_it_is() {
        check(&[
            (stamp(1), None),
            (stamp(1), None),
            (stamp(2), None),
            (stamp(2), Some(2)),
            (stamp(2), None),
        ]);
        check(&[
            (stamp(1), None),
            (stamp(2), None),
            (stamp(3), None),
            (stamp(3), Some(2)),
        ]);
        check(&[(stamp(1), None), (stamp(2), None), (stamp(1), None), (stamp(1), None)]);
    }

    #[test]
    fn a_file_that_is_gone_is_no_change_and_one_that_appears_is() {
        check(&[(None, None), (None, None), (stamp(1), None), (stamp(1), Some(2))]);
        check(&[
            (stamp(1), None),
            (None, None),
            (None, None),
            (stamp(1), None),
            (stamp(1), None),
        ]);
        check(&[(stamp(1), None), (None, None), (stamp(2), None), (stamp(2), Some(2))]);
    }

    #[test]
    fn replacing_and_rewriting_change_the_stamp_even_if_time_and_length_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        assert_eq!(Stamp::of(&path), None);
        fs::write(&path, "1").unwrap();
        let first = Stamp::of(&path).unwrap();
        assert_eq!(Stamp::of(&path), Some(first));

        let other = directory.path().join("b");
        fs::write(&other, "2").unwrap();
        fs::File::open(&other)
            .unwrap()
            .set_modified(fs::metadata(&path).unwrap().modified().unwrap())
            .unwrap();
        fs::rename(&other, &path).unwrap();
        let second = Stamp::of(&path).unwrap();
        assert_eq!((second.bytes, second.modified), (first.bytes, first.modified));
        assert_ne!(second, first);
    }
}
