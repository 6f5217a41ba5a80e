//! A prefix between two layouts: whose it is, who still follows it, giving it to another layout, and removing a layout's keys.

use redis::Value;

use super::bare::Bare;
use crate::store::{
    connect_error::ConnectError,
    error::StoreError,
    handle::StoreOptions,
    layout::keys::{Keys, PARTITIONS},
    wire::reply,
};

/// Keys that are looked at in one turn.
const KEYS_A_TURN: usize = 1000;

/// A prefix, without a start: it may belong to any layout.
pub struct Prefix {
    bare: Bare,
    keys: Keys,
}

impl Prefix {
    /// Connects, and does nothing else.
    ///
    /// # Errors
    /// There is no server, or it refuses the credentials.
    pub async fn open(options: &StoreOptions) -> Result<Self, ConnectError> {
        let bare = Bare::open(options).await?;
        let keys = Keys::new(&options.prefix);
        Ok(Self { bare, keys })
    }

    /// The layout that the prefix is claimed for; `None` where it is claimed for none, `?` where the claim cannot be read.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn layout(&mut self) -> Result<Option<String>, StoreError> {
        const OPERATION: &str = "read claim";
        let key = self.keys.meta();
        let mut command = redis::cmd("HMGET");
        command.arg(&key).arg("layout").arg("partitions");
        let reply = self.bare.ask_one(OPERATION, &key, &command).await?;
        let values = reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
        let is_claimed = values.iter().any(|value| *value != Value::Nil);
        let layout = values.into_iter().next().and_then(reply::text);
        Ok(is_claimed.then(|| layout.unwrap_or_else(|| "?".to_owned())))
    }

    /// How many processes follow the announcements of a layout: services that run, and commands. `None` where the user may not ask.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn followers(&mut self, layout: &str) -> Result<Option<u64>, StoreError> {
        let channel = format!("{}:{layout}:announcements", self.keys.prefix());
        let mut command = redis::cmd("PUBSUB");
        command.arg("NUMSUB").arg(&channel);
        match self.bare.ask_one("count followers", &channel, &command).await {
            Ok(reply) => Ok(reply::pairs(reply)
                .and_then(|pairs| pairs.into_iter().next())
                .and_then(|(_, count)| reply::unsigned(&count))),
            Err(StoreError::Refusing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Claims the prefix for a layout, whosever it is.
    ///
    /// # Errors
    /// Redis's own.
    pub async fn claim(&mut self, layout: u32) -> Result<(), StoreError> {
        let key = self.keys.meta();
        let mut command = redis::cmd("HSET");
        command.arg(&key).arg("layout").arg(layout);
        // Every layout up to now has as many.
        command.arg("partitions").arg(PARTITIONS);
        self.bare.ask_one("claim prefix", &key, &command).await.map(drop)
    }

    /// Removes every key of a layout, or only counts them. Returns how many there are.
    ///
    /// # Errors
    /// Redis's own. Then some are removed.
    pub async fn remove(&mut self, layout: u32, only_count: bool) -> Result<u64, StoreError> {
        const OPERATION: &str = "remove keys";
        let begin = format!("{}:{layout}:", self.keys.prefix());
        let (mut cursor, mut many) = ("0".to_owned(), 0);
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(&cursor).arg("MATCH").arg(format!("{}*", escape(&begin)));
            command.arg("COUNT").arg(KEYS_A_TURN);
            let reply = self.bare.ask_one(OPERATION, &begin, &command).await?;
            let parts = reply::array(reply).and_then(|parts| <[Value; 2]>::try_from(parts).ok());
            let [next, found] = parts.ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            let found = reply::array(found).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            let mut found: Vec<Vec<u8>> = found.into_iter().filter_map(reply::bytes).collect();
            found.retain(|key| key.starts_with(begin.as_bytes()));
            if !found.is_empty() && !only_count {
                let mut command = redis::cmd("UNLINK");
                command.arg(&found);
                let removed = self.bare.ask_one(OPERATION, &begin, &command).await?;
                many += reply::unsigned(&removed).unwrap_or_default();
            } else {
                many += found.len() as u64;
            }
            cursor = reply::text(next).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            if cursor == "0" {
                return Ok(many);
            }
        }
    }
}

/// A text as a pattern that only this text fits.
fn escape(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stands_for_itself() {
        assert_eq!(escape("shop:1:"), "shop:1:");
        assert_eq!(escape(r"s*?[a^]\:1:"), r"s\*\?\[a\^\]\\:1:");
    }
}
