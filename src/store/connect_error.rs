//! Why a store cannot be used at all.

use super::error::Cause;

/// Why the store cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered within the start's bounded wait.
    #[error("no redis server answers at {address}")]
    NoServer {
        /// Host and port, or a socket's path; never a password.
        address: String,
        /// The last attempt's failure.
        #[source]
        source: Option<Cause>,
    },
    /// A password is missing or wrong.
    #[error("redis at {address} refused the credentials")]
    WrongPassword {
        /// Host and port, or a socket's path.
        address: String,
    },
    /// It answers, but refuses what cannot be done without: a replica, or a user who may not write.
    #[error("redis at {address} cannot be used")]
    Unusable {
        /// Host and port, or a socket's path.
        address: String,
        /// The server's message.
        #[source]
        source: Cause,
    },
    /// The user may not do all that is needed.
    #[error(
        "redis at {address} refuses rights that user `{user}` needs; run: ACL SETUSER {user} {}",
        missing.join(" ")
    )]
    MissingRights {
        /// Host and port, or a socket's path.
        address: String,
        /// The user's name.
        user: String,
        /// Words of `ACL SETUSER`.
        missing: Vec<String>,
    },
    /// Older than what the commands in use need.
    #[error("redis at {address} is version {found}; it must be 7.0 or newer")]
    TooOld {
        /// Host and port, or a socket's path.
        address: String,
        /// The server's version.
        found: String,
    },
    /// The prefix is in use by a version that lays its keys out otherwise.
    #[error(
        "prefix `{prefix}` holds layout {found_layout} with {found_partitions} partitions; this version has layout {layout} with {partitions}"
    )]
    OtherLayout {
        /// The configured prefix.
        prefix: String,
        /// The layout found.
        found_layout: String,
        /// The number of partitions found.
        found_partitions: String,
        /// This version's layout.
        layout: u32,
        /// This version's number of partitions.
        partitions: u8,
    },
    /// The URL cannot be understood.
    #[error("redis url: {0}")]
    BadUrl(String),
}
