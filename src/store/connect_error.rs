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
        "prefix `{prefix}` holds layout {found_layout} with {found_partitions} partitions; this version has layout {layout} with {partitions}. {}",
        advice(found_layout, *layout)
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

/// What an operator does about a prefix of another layout.
fn advice(found: &str, layout: u32) -> String {
    match found.parse::<u32>() {
        Ok(found) if found < layout => format!(
            "To move to layout {layout}: stop every node of the older version; write the pushed listings into a file by `listcache export \
             --layout {found} '*' > listings.ndjson`; give the prefix to layout {layout} by `listcache claim`; put them back by `listcache load \
             listings.ndjson`. Listings with an origin refill by themselves. docs/upgrading.md has every step, and the way back"
        ),
        Ok(found) if found > layout => format!(
            "A newer version of listcache has claimed the prefix: start that version, or another `redis.prefix`. To go back to this version \
             give the prefix to its layout by `listcache claim --layout {layout}`: docs/upgrading.md, section \"The way back\""
        ),
        _ => "Another program may have written there: choose another `redis.prefix`".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: &str, layout: u32, says: &[&str]) {
        let error = ConnectError::OtherLayout {
            prefix: "shop".to_owned(),
            found_layout: found.to_owned(),
            found_partitions: "64".to_owned(),
            layout,
            partitions: 64,
        };
        let error = error.to_string();
        for says in says {
            assert!(error.contains(says), "no `{says}` in: {error}");
        }
    }

    #[test]
    fn another_layout_is_told_with_the_commands_that_move() {
        check(
            "1",
            2,
            &[
                "prefix `shop` holds layout 1",
                "`listcache export --layout 1 '*' > listings.ndjson`",
                "`listcache claim`",
                "`listcache load listings.ndjson`",
                "docs/upgrading.md",
            ],
        );
        check("3", 2, &["start that version", "`listcache claim --layout 2`"]);
        check("?", 2, &["another `redis.prefix`"]);
        // Another number of partitions.
        check("2", 2, &["another `redis.prefix`"]);
    }
}
