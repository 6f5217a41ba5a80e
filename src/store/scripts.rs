//! The scripts: a file each under `scripts/`, called by hash, and loaded when the server does not know them.

use std::sync::LazyLock;

use redis::Cmd;

/// One script and its hash.
pub(crate) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self {
            code,
            hash: redis::Script::new(code).get_hash().to_owned(),
        }
    }

    /// Begins a call: arguments are added to what this returns.
    pub(super) fn call(&self, keys: &[String]) -> Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len());
        for key in keys {
            command.arg(key);
        }
        command
    }

    /// Makes the script known to the server.
    pub(super) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(self.code);
        command
    }
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+;)*) => {
        $(pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+)));)*

        /// Hash and code of each.
        #[cfg(test)]
        pub(super) fn all() -> impl Iterator<Item = (String, &'static str)> {
            [$(&*$name),*].into_iter().map(|script| (script.hash.clone(), script.code))
        }
    };
}

scripts! {
    CLAIM_LAYOUT = "claim_layout";
    DRAW = "draw";
    PUBLISH = "announce" "lives" "publish";
    CONFIRM = "lives" "confirm";
    DELETE = "announce" "lives" "delete";
    EXTEND_LEASE = "extend_lease";
    RELEASE_LEASE = "release_lease";
    CLAIM_DUE = "claim_due";
    RECORD_FAILURE = "record_failure";
    FORGET_NAME = "forget_name";
    RENEW = "lives" "renew";
    TELL_NEXT_CHANGE = "announce" "tell_next_change";
    ASK = "ask";
    SETTLE = "settle";
    BEGIN_WARM_UP = "begin_warm_up";
    RECORD_CHANGES = "record_changes";
}
