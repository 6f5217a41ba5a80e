//! Kept generations of a listing: a sorted set beside its head, which no page reads. Members are by the ends of their lives, in ms.
//!
//! A member says what its generation takes up, so that a listing's kept generations are bounded by bytes: `<generation> <own> <base>
//! <deltas>`, and `@<base>` or `@<base>@<listing>` behind it where it is a delta. A `!` before it says that a rollback has undone it: pins may
//! read it, and nobody goes back to it.

use std::{fmt, num::NonZeroU64};

use redis::Value;

use crate::{
    listing::{Generation, Head, ListingKey, Timestamp},
    store::{
        error::StoreError,
        layout::keys::ListingPlace,
        wire::{commands::Commands, reply},
    },
};

/// What a generation takes up in Redis, as its writers counted it: what was sent, without Redis's own overhead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// Of what it wrote itself.
    pub own: u64,
    /// Of its group's base.
    pub base: u64,
    /// Of all that was changed since, up to it.
    pub deltas: u64,
    /// Of all generations of the listing, up to it: the difference of two is what those between them wrote.
    pub all: u64,
}

impl Bytes {
    /// Those of a whole generation.
    pub(crate) fn whole(own: u64) -> Self {
        Self {
            own,
            base: own,
            deltas: 0,
            all: own,
        }
    }

    /// Those of a generation that follows on this in the same group.
    pub(crate) fn next(self, own: u64) -> Self {
        let deltas = self.deltas.saturating_add(own);
        Self { own, deltas, ..self }
    }

    /// The same behind another generation of the listing.
    pub(crate) fn after(self, before: Self) -> Self {
        let all = before.all.saturating_add(self.own);
        Self { all, ..self }
    }

    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(' ').map(str::parse);
        let mut number = || numbers.next()?.ok();
        let bytes = Self {
            own: number()?,
            base: number()?,
            deltas: number()?,
            all: number()?,
        };
        number().is_none().then_some(bytes)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { own, base, deltas, all } = self;
        write!(f, "{own} {base} {deltas} {all}")
    }
}

/// A generation as scripts need it: where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub generation: Generation,
    /// Where it is a delta, its base, and the listing of that where it is another's.
    pub base: Option<(Generation, Option<ListingKey>)>,
    /// The dictionary that must live as long. Not known of kept ones, whose lives are never lengthened.
    pub dictionary: Option<NonZeroU64>,
}

impl Placed {
    pub(crate) fn of(head: &Head) -> Self {
        let delta = head.delta.as_deref();
        Self {
            generation: head.generation,
            base: delta.map(|delta| (delta.base, delta.base_of.clone())),
            dictionary: head.codec.dictionary(),
        }
    }

    /// The whole generation of its group.
    pub(crate) fn base(&self) -> Generation {
        self.base.as_ref().map_or(self.generation, |(base, _)| *base)
    }

    /// The listing of its group.
    pub(crate) fn base_listing<'a>(&'a self, listing: &'a ListingKey) -> &'a ListingKey {
        let other = self.base.as_ref().and_then(|(_, listing)| listing.as_ref());
        other.unwrap_or(listing)
    }
}

/// A replaced generation that is kept for pins, and for going back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptGeneration {
    pub placed: Placed,
    pub bytes: Bytes,
    pub ends: Timestamp,
    /// Whether a rollback has undone it.
    pub is_undone: bool,
}

impl KeptGeneration {
    fn parse(member: &str, ends: u64) -> Option<Self> {
        let undone = member.strip_prefix('!');
        let is_undone = undone.is_some();
        let member = undone.unwrap_or(member);
        let mut parts = member.splitn(3, '@');
        let (generation, bytes) = parts.next()?.split_once(' ')?;
        let base = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(base), None) => Some((base.parse().ok()?, None)),
            (Some(base), Some(listing)) => Some((base.parse().ok()?, Some(ListingKey::parse(listing)?))),
        };
        let generation = generation.parse().ok()?;
        Some(Self {
            placed: Placed {
                generation,
                base,
                dictionary: None,
            },
            bytes: Bytes::parse(bytes)?,
            ends: Timestamp(ends),
            is_undone,
        })
    }
}

/// As a member.
impl fmt::Display for KeptGeneration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.is_undone { "!" } else { "" };
        write!(f, "{mark}{} {}", self.placed.generation, self.bytes)?;
        match &self.placed.base {
            None => Ok(()),
            Some((base, None)) => write!(f, "@{base}"),
            Some((base, Some(listing))) => write!(f, "@{base}@{listing}"),
        }
    }
}

/// The most generations that are kept of a listing, however small they are: a delete names all of them.
const KEPT_MAX: u64 = 1000;
/// A publish ends so many at most.
const ENDED_MAX: usize = 16;

/// Which kept generations are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeptRead {
    /// The oldest, as many as a publish ends at most.
    Oldest,
    /// All of them.
    All,
}

/// Kept generations of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KeptGenerations {
    /// Those that were read, the oldest first.
    pub read: Vec<KeptGeneration>,
    /// How many there are.
    pub count: u64,
}

/// Reads what is kept of a listing.
pub(crate) fn read_kept(to: &mut Commands, place: &ListingPlace, which: KeptRead) {
    let last = match which {
        KeptRead::Oldest => (ENDED_MAX - 1).to_string(),
        KeptRead::All => "-1".to_owned(),
    };
    to.call(&[b"ZRANGE", place.key().as_bytes(), b"0", last.as_bytes(), b"WITHSCORES"]);
    to.call(&[b"ZCARD", place.key().as_bytes()]);
}

/// Takes the replies to [`read_kept`] apart. Members that no release wrote are left out.
pub(crate) fn decode_kept(
    replies: &mut impl Iterator<Item = Value>,
    place: &ListingPlace,
) -> Result<KeptGenerations, StoreError> {
    const OPERATION: &str = "read kept generations";
    let mut next = || reply::answered(replies.next().unwrap_or_default(), OPERATION, place.key());
    let (members, count) = match (next(), next()) {
        // A value of another type: publish and delete put it away.
        (Err(StoreError::Corrupt { .. }), _) => return Ok(KeptGenerations::default()),
        (members, count) => (members?, count?),
    };
    let odd = || StoreError::odd_reply(OPERATION);
    let mut read: Vec<KeptGeneration> = reply::pairs(members)
        .ok_or_else(odd)?
        .into_iter()
        .filter_map(|(member, ends)| KeptGeneration::parse(&reply::text(member)?, reply::score(&ends)?))
        .collect();
    read.sort_unstable_by_key(|kept| kept.placed.generation.id);
    let count = reply::unsigned(&count).ok_or_else(odd)?;
    Ok(KeptGenerations { read, count })
}

impl KeptGenerations {
    /// Those that must end so that all that were written since, up to `newest`, take up no more than a bound; the oldest end first. Those
    /// that end by themselves until `now` do not count.
    pub(crate) fn beyond(&self, newest: Bytes, bytes_max: u64, now: Timestamp) -> &[KeptGeneration] {
        let expired = self.read.partition_point(|kept| kept.ends <= now);
        let (mut ended, mut count) = (0, self.count.saturating_sub(expired as u64));
        let alive = self.read.get(expired..).unwrap_or_default();
        for kept in alive {
            let bytes = newest.all.saturating_sub(kept.bytes.all).saturating_add(kept.bytes.own);
            if bytes <= bytes_max && count < KEPT_MAX {
                break;
            }
            ended += 1;
            count -= 1;
        }
        alive.get(..ended).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::layout::keys::Keys;

    fn kept(member: &str, ends: u64) -> KeptGeneration {
        KeptGeneration::parse(member, ends).unwrap()
    }

    #[test]
    fn members_are_read_oldest_first_and_those_of_others_skipped() {
        let place = Keys::new("shop").kept(&ListingKey::parse("x/price").unwrap());
        let members = [
            "8-000000cf 3 10 3 23@6-000000cd",
            "6-000000cd 10 10 0 10",
            "junk",
            "7-000000ce 4 16 4 20@5-00000001@x/price?group=2",
            "9-00000001 1 1@5",
        ];
        let text = |text: &str| Value::BulkString(text.into());
        let scored = members.iter().flat_map(|member| [text(member), text("9")]);
        let replies = [Value::Array(scored.collect()), Value::Int(5)];
        let read = decode_kept(&mut replies.into_iter(), &place).unwrap();
        let texts: Vec<String> = read.read.iter().map(ToString::to_string).collect();
        assert_eq!(
            (texts, read.count),
            ([members[1], members[3], members[0]].map(String::from).to_vec(), 5)
        );
        let listing = ListingKey::parse("x/price").unwrap();
        assert_eq!(
            read.read[1].placed.base_listing(&listing).to_string(),
            "x/price?group=2"
        );
        let wrong_type = || redis::parse_redis_value(b"-WRONGTYPE Operation against a key\r\n").unwrap();
        let replies = [wrong_type(), wrong_type()];
        assert_eq!(
            decode_kept(&mut replies.into_iter(), &place).unwrap(),
            KeptGenerations::default()
        );
    }

    #[test]
    fn the_oldest_end_first_and_what_has_expired_does_not_count() {
        let mut read = KeptGenerations {
            read: vec![
                kept("3-00000001 15 15 0 15", 5),
                kept("4-00000001 5 15 5 20@3-00000001", 6),
                kept("5-00000001 4 15 9 24@3-00000001", 7),
            ],
            count: 3,
        };
        let newest = Bytes {
            all: 30,
            ..Bytes::whole(6)
        };
        let ended = |read: &KeptGenerations, most, now| read.beyond(newest, most, Timestamp(now)).len();
        for (most, expect) in [(30, 0), (29, 1), (15, 1), (14, 2), (10, 2), (9, 3), (0, 3)] {
            assert_eq!(ended(&read, most, 4), expect, "{most}");
        }
        assert_eq!([15, 14].map(|most| ended(&read, most, 5)), [0, 1]);
        assert_eq!(ended(&read, 0, 7), 0);
        read.count = 1001;
        assert_eq!(ended(&read, 1000, 4), 2);
    }
}
