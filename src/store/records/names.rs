//! The index of names: which listings there are. Members are listing keys with equal scores, so a sorted set is in the order of texts.
//!
//! An entry may outlive its head, which expires or is evicted. The next reader of the entry removes it.

use std::sync::Arc;

use redis::Pipeline;

use crate::{
    listing::{HeadState, ListingKey, ListingName},
    store::{
        access::Access, error::StoreError, layout::keys::Partition, reading::heads::HeadReads, scripts, wire::reply,
    },
};

/// Listings of one name read in one turn.
const OF_A_NAME_A_TURN: usize = 500;

/// One end of a range of texts.
enum Bound<'a> {
    From(&'a str),
    After(&'a str),
    Before(&'a str),
    /// Up to the last text that begins so.
    Prefix(&'a str),
}

impl Bound<'_> {
    fn encode(&self) -> Vec<u8> {
        let (sign, text, tail): (_, _, &[u8]) = match self {
            Self::From("") => (b'-', "", b""),
            Self::Prefix("") => (b'+', "", b""),
            Self::From(text) => (b'[', *text, b""),
            Self::After(text) | Self::Before(text) => (b'(', *text, b""),
            // No UTF-8 text has this byte.
            Self::Prefix(text) => (b'[', *text, b"\xff"),
        };
        [&[sign], text.as_bytes(), tail].concat()
    }
}

/// The index of all listings by their keys.
#[derive(Clone)]
pub struct NameIndex(pub(crate) Arc<Access>);

impl NameIndex {
    /// Every listing kept under a name.
    pub async fn listings_of(&self, name: &ListingName) -> Result<Vec<ListingKey>, StoreError> {
        Ok(self.kept_and_lost(name).await?.0)
    }

    /// The same, with the listings that were among the names without a head: evicted, or expired. They are taken out of the
    /// names, so each is reported once.
    pub async fn kept_and_lost(&self, name: &ListingName) -> Result<(Vec<ListingKey>, Vec<ListingKey>), StoreError> {
        let names = self.names_of(name).await?;
        let (kept, lost) = self.with_heads(names).await?;
        Ok((kept.into_iter().map(|(listing, _)| listing).collect(), lost))
    }

    /// Every listing that was ever kept under a name and may still be, whatever lies in the place of its head.
    pub async fn ever_of(&self, name: &ListingName) -> Result<Vec<ListingKey>, StoreError> {
        let names = self.names_of(name).await?;
        Ok(names.iter().filter_map(|name| ListingKey::parse(name)).collect())
    }

    async fn names_of(&self, name: &ListingName) -> Result<Vec<String>, StoreError> {
        let partition = Partition::of(name);
        let encoded = name.encoded();
        // `0` comes next after `/`, which no encoded name holds.
        let (mut from, end) = (format!("{encoded}/"), format!("{encoded}0"));
        let mut names = Vec::new();
        let mut bound = Bound::From(&from);
        loop {
            let range = (bound.encode(), Bound::Before(&end).encode());
            let mut pages = self.read_names([partition], &range, OF_A_NAME_A_TURN).await?;
            let page = pages.pop().unwrap_or_default();
            let Some(last) = page.last().filter(|_| page.len() == OF_A_NAME_A_TURN).cloned() else {
                names.extend(page);
                return Ok(names);
            };
            names.extend(page);
            from = last;
            bound = Bound::After(&from);
        }
    }

    /// Listings in the order of their keys, from after a key on, whose encoded name begins with `prefix`; with their heads.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&ListingKey>,
        limit: usize,
    ) -> Result<Vec<(ListingKey, HeadState)>, StoreError> {
        // The listings are spread over the partitions evenly enough; where they are not it takes more turns.
        let page = limit / 16 + 16;
        let after = after.map(ToString::to_string);
        let mut from = match &after {
            Some(after) if after.as_str() >= prefix => Bound::After(after).encode(),
            _ => Bound::From(prefix).encode(),
        };
        let mut found = Vec::new();
        while found.len() < limit {
            let range = (from, Bound::Prefix(prefix).encode());
            let pages = self.read_names(Partition::all(), &range, page).await?;
            // After a full page more may follow: names after its last text must wait.
            let full = pages.iter().filter(|names| names.len() == page);
            let until = full.filter_map(|names| names.last()).min().cloned();
            let mut names: Vec<String> = pages.into_iter().flatten().collect();
            if let Some(until) = &until {
                names.retain(|name| name <= until);
            }
            names.sort_unstable();
            for names in names.chunks(100) {
                if found.len() < limit {
                    found.extend(self.with_heads(names.to_vec()).await?.0);
                }
            }
            match until {
                Some(until) => from = Bound::After(&until).encode(),
                None => break,
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// A page of names of each partition, in their order.
    async fn read_names(
        &self,
        partitions: impl IntoIterator<Item = Partition>,
        (from, to): &(Vec<u8>, Vec<u8>),
        page: usize,
    ) -> Result<Vec<Vec<String>>, StoreError> {
        const OPERATION: &str = "read names";
        let mut turn = Pipeline::new();
        for partition in partitions {
            let range = turn.cmd("ZRANGE").arg(self.0.keys.names(partition)).arg(from).arg(to);
            range.arg("BYLEX").arg("LIMIT").arg(0).arg(page);
        }
        let replies = self.0.redis.read(OPERATION, &turn).await?;
        let pages = replies.into_iter().map(|reply| {
            let reply = reply::answered(reply, OPERATION, "names")?;
            let names = reply::array(reply).ok_or_else(|| StoreError::odd_reply(OPERATION))?;
            Ok(names.into_iter().filter_map(reply::text).collect())
        });
        pages.collect()
    }

    /// Listings with their heads; and those that are gone, which are removed from the names.
    async fn with_heads(
        &self,
        names: Vec<String>,
    ) -> Result<(Vec<(ListingKey, HeadState)>, Vec<ListingKey>), StoreError> {
        let listings: Vec<ListingKey> = names.iter().filter_map(|name| ListingKey::parse(name)).collect();
        let heads = HeadReads(self.0.clone()).read_all(&listings).await?;
        let (gone, kept): (Vec<_>, Vec<_>) = listings
            .into_iter()
            .zip(heads)
            .partition(|(_, head)| *head == HeadState::Absent);
        let gone: Vec<ListingKey> = gone.into_iter().map(|(listing, _)| listing).collect();
        let gone = match gone.is_empty() {
            true => gone,
            false => self.forget_names(gone).await,
        };
        let kept = kept.into_iter().filter(|(_, head)| head.live().is_some()).collect();
        Ok((kept, gone))
    }

    /// Returns which of them were there to be forgotten. A failure is ignored: the next node that sees the entries tries again.
    async fn forget_names(&self, listings: Vec<ListingKey>) -> Vec<ListingKey> {
        let mut calls = Pipeline::new();
        for listing in &listings {
            let names = self.0.keys.names(Partition::of(listing.name()));
            let mut call = scripts::FORGET_NAME.call(&[names, self.0.keys.head(listing).into()]);
            call.arg(listing.to_string());
            calls.add_command(call);
        }
        let forgotten = self.0.redis.scripts("forget names", &scripts::FORGET_NAME, &calls);
        match forgotten.await {
            Ok(replies) => {
                let forgotten = listings.into_iter().zip(replies);
                let forgotten = forgotten.filter(|(_, reply)| reply::integer(reply) == Some(1));
                forgotten.map(|(listing, _)| listing).collect()
            }
            Err(error) => {
                tracing::debug!(%error, "names not forgotten");
                Vec::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bound: Bound<'_>, expect: &[u8]) {
        assert_eq!(bound.encode(), expect);
    }

    #[test]
    fn bounds_are_written_as_redis_reads_them() {
        check(Bound::From(""), b"-");
        check(Bound::From("a/"), b"[a/");
        check(Bound::After("a/x"), b"(a/x");
        check(Bound::Before("a0"), b"(a0");
        check(Bound::Prefix(""), b"+");
        check(Bound::Prefix("cat"), b"[cat\xff");
    }
}
