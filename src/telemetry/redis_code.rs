//! The codes of Redis's refusals: a closed set, so that a metric may be labelled with them.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal;)*) => {
        /// The first word of an error by which Redis refuses a command. A code that is not listed here is [`RedisCode::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RedisCode {
            $($(#[$doc])* $variant,)*
            /// Any other code.
            Other,
        }

        impl RedisCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)* Self::Other];

            /// The code as Redis writes it; `other` for any other.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other => "other",
                }
            }
        }
    };
}

codes! {
    /// Redis cannot write to its disk.
    Misconf = "MISCONF";
    /// The server is a replica.
    ReadOnly = "READONLY";
    /// Fewer replicas than `min-replicas-to-write` are connected.
    NoReplicas = "NOREPLICAS";
    /// A replica without its master, which serves nothing meanwhile.
    MasterDown = "MASTERDOWN";
    /// The user lacks a right.
    NoPerm = "NOPERM";
    /// A password is needed.
    NoAuth = "NOAUTH";
    /// The password is wrong, or the user is off.
    WrongPass = "WRONGPASS";
    /// Another node of a cluster has the key.
    Moved = "MOVED";
    /// Another node of a cluster is getting the key.
    Ask = "ASK";
    /// A cluster's slot is being moved.
    TryAgain = "TRYAGAIN";
    /// The keys of one call lie in several slots of a cluster.
    CrossSlot = "CROSSSLOT";
    /// A cluster does not serve the slot.
    ClusterDown = "CLUSTERDOWN";
    /// Redis reads its data from disk.
    Loading = "LOADING";
    /// A script of somebody else runs for too long.
    Busy = "BUSY";
}

impl RedisCode {
    /// The code with this text.
    pub fn parse(text: &str) -> Self {
        let known = Self::ALL.iter().find(|code| code.as_str() == text);
        known.copied().unwrap_or(Self::Other)
    }
}

impl EncodeLabelValue for RedisCode {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.as_str().encode(encoder)
    }
}

/// Label of [`Metrics::redis_refused`](super::Metrics::redis_refused).
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByCode {
    /// The code.
    pub code: RedisCode,
}
