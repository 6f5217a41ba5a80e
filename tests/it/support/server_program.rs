//! The programs that serve as Redis: the distribution's, and those that `.ci/install test` fetches.

use std::path::{Path, PathBuf};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerProgram {
    /// `redis-server`, in whatever version the distribution has.
    Distribution,
    Redis8,
    Valkey9,
}

impl ServerProgram {
    /// The file to run.
    ///
    /// # Panics
    /// If it is missing: a test that tests nothing must not pass.
    pub fn path(self) -> PathBuf {
        let fetched = match self {
            Self::Distribution => return "redis-server".into(),
            Self::Redis8 => "redis-8",
            Self::Valkey9 => "valkey-9",
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("target/servers")
            .join(fetched);
        assert!(path.exists(), "{} is missing: run .ci/install test", path.display());
        path
    }
}
