//! The name of every key and channel. `docs/redis-layout.md` lists them; no other file makes one, but for those of layouts before (`moving`).
//!
//! All keys of a listing name share a hash tag, the partition's in braces, so one script may touch them all, in a cluster too.
//! The listing's name itself never stands inside a hash tag: its encoded form holds no brace.

use std::fmt::Write as _;

use redis::{RedisWrite, ToRedisArgs};
use xxhash_rust::xxh3::xxh3_64;

use crate::listing::{Family, Generation, ListingKey, ListingName};

/// Number of partitions that listing names hash into.
pub const PARTITIONS: u8 = 64;

/// The version of the layout; it stands in every key but `meta`, which tells versions apart.
pub(crate) const LAYOUT: u32 = 2;

/// The hash tags of the partitions: number *i* with two letters that put it in the middle of the *i*th sixty-fourth of a cluster's
/// slots (CRC-16 of the tag modulo 16384, Redis Cluster Specification). However many masters share the slots evenly, they share the
/// partitions evenly.
const TAGS: [&str; PARTITIONS as usize] = [
    "00th", "01iq", "02ov", "03br", "04bg", "05oc", "06id", "07ka", "08tb", "09yf", "10pk", "11bs", "12hx", "13ua",
    "14vy", "15da", "16vz", "17kc", "18ac", "19cf", "20ml", "21pu", "22fo", "23dj", "24bl", "25oh", "26io", "27kj",
    "28bg", "29oc", "30yr", "31dk", "32gu", "33ep", "34yt", "35dm", "36qz", "37lc", "38fc", "39df", "40ua", "41xe",
    "42qc", "43sf", "44ss", "45nj", "46xp", "47ei", "48di", "49yp", "50oa", "51be", "52hn", "53uw", "54vo", "55kv",
    "56gn", "57zw", "58pw", "59mn", "60cd", "61aa", "62hg", "63jb",
];

/// One of the groups that listing names hash into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition(pub u8);

impl Partition {
    /// The partition of a name.
    pub(crate) fn of(name: &ListingName) -> Self {
        let hash = xxh3_64(name.as_str().as_bytes()) % u64::from(PARTITIONS);
        // Less than PARTITIONS, so it fits.
        Self(u8::try_from(hash).unwrap_or_default())
    }

    /// Every partition.
    pub(crate) fn all() -> impl Iterator<Item = Self> + Clone {
        (0..PARTITIONS).map(Self)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    fn tag(self) -> &'static str {
        TAGS[self.index() % TAGS.len()]
    }
}

/// The name of a key that belongs to a listing. It ends with the listing's own, which check sums cover: what lies under one listing's
/// key is never taken for another's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListingPlace {
    key: String,
    listing_at: usize,
}

impl ListingPlace {
    /// The whole name.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The listing's name in it.
    pub(crate) fn listing(&self) -> &str {
        self.key.get(self.listing_at..).unwrap_or_default()
    }
}

impl From<ListingPlace> for String {
    fn from(place: ListingPlace) -> Self {
        place.key
    }
}

impl ToRedisArgs for ListingPlace {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        self.key.write_redis_args(out);
    }
}

/// Makes the names, all with one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    prefix: Box<str>,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn in_partition(&self, partition: Partition, rest: std::fmt::Arguments<'_>) -> String {
        format!("{}:{LAYOUT}:{{{}}}:{rest}", self.prefix, partition.tag())
    }

    fn of_listing(&self, listing: &ListingKey, class: std::fmt::Arguments<'_>) -> ListingPlace {
        let mut key = self.in_partition(Partition::of(listing.name()), class);
        let listing_at = key.len();
        // Writing to a text does not fail.
        let _ = write!(key, "{listing}");
        ListingPlace { key, listing_at }
    }

    pub(crate) fn meta(&self) -> String {
        format!("{}:meta", self.prefix)
    }

    /// Globs of names that are frozen, for all partitions.
    pub(crate) fn frozen(&self) -> String {
        format!("{}:{LAYOUT}:frozen", self.prefix)
    }

    /// A key that is never made: commands on it have no effect.
    pub(crate) fn nothing(&self) -> String {
        format!("{}:{LAYOUT}:nothing", self.prefix)
    }

    /// The record of a warm-up job, for all partitions.
    pub(crate) fn warm_up(&self, job: u64) -> String {
        format!("{}:{LAYOUT}:warm-up:{job:016x}", self.prefix)
    }

    pub(crate) fn channel(&self) -> String {
        format!("{}:{LAYOUT}:announcements", self.prefix)
    }

    pub(crate) fn head(&self, listing: &ListingKey) -> ListingPlace {
        self.of_listing(listing, format_args!("head:"))
    }

    pub(crate) fn stream(&self, listing: &ListingKey, generation: Generation) -> ListingPlace {
        self.of_listing(listing, format_args!("gen:{generation}:"))
    }

    pub(crate) fn sidecar(&self, listing: &ListingKey, generation: Generation) -> ListingPlace {
        self.of_listing(listing, format_args!("side:{generation}:"))
    }

    /// What generations after a base have changed: its chunks and columns in their form.
    pub(crate) fn deltas(&self, listing: &ListingKey, base: Generation) -> ListingPlace {
        self.of_listing(listing, format_args!("deltas:{base}:"))
    }

    /// A dictionary, by its hash, where listings of a name need it.
    pub(crate) fn dictionary(&self, name: &ListingName, hash: impl std::fmt::Display) -> String {
        self.in_partition(Partition::of(name), format_args!("dict:{hash}"))
    }

    /// The generations that need a base and what was changed since.
    pub(crate) fn holders(&self, listing: &ListingKey, base: Generation) -> String {
        self.of_listing(listing, format_args!("holders:{base}:")).into()
    }

    /// The replaced generations that are kept.
    pub(crate) fn kept(&self, listing: &ListingKey) -> ListingPlace {
        self.of_listing(listing, format_args!("kept:"))
    }

    /// A stream's copy, before it takes the place of the stream.
    pub(crate) fn aside(&self, listing: &ListingKey, generation: Generation) -> ListingPlace {
        self.of_listing(listing, format_args!("aside:{generation}:"))
    }

    pub(crate) fn lease(&self, family: &Family) -> String {
        self.in_partition(Partition::of(&family.name), format_args!("lease:{family}"))
    }

    pub(crate) fn failure(&self, family: &Family) -> String {
        self.in_partition(Partition::of(&family.name), format_args!("fail:{family}"))
    }

    pub(crate) fn asked(&self, family: &Family) -> String {
        self.in_partition(Partition::of(&family.name), format_args!("asked:{family}"))
    }

    pub(crate) fn log(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("log"))
    }

    pub(crate) fn due(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("due"))
    }

    /// When something of a family begins or ends next.
    pub(crate) fn instants(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("instants"))
    }

    /// The instants of a family, with the items that change then.
    pub(crate) fn next_changes(&self, family: &Family) -> String {
        self.in_partition(Partition::of(&family.name), format_args!("next:{family}"))
    }

    pub(crate) fn names(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("names"))
    }

    /// Changes that shops have told of, in the order in which they were recorded.
    pub(crate) fn changes(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("changes"))
    }

    /// The last change up to which all are worked off.
    pub(crate) fn worked_off(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("worked-off"))
    }

    /// Ids of items that are gone, whatever an origin says.
    pub(crate) fn gone(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("gone"))
    }

    /// Ids of items that are recalled.
    pub(crate) fn recalled(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("recalled"))
    }

    /// The outcome of changes that were recorded together.
    pub(crate) fn change_outcome(&self, token: u128) -> String {
        let partition = Partition(u8::try_from(token % u128::from(PARTITIONS)).unwrap_or_default());
        self.in_partition(partition, format_args!("change:{token:032x}"))
    }

    /// The lease of a role that one node has, for all partitions.
    pub(crate) fn role(&self, role: &str) -> String {
        format!("{}:{LAYOUT}:role:{role}", self.prefix)
    }

    /// Up to where the changelog of an origin is worked off, for all partitions.
    pub(crate) fn changelog(&self, origin: &str) -> String {
        format!("{}:{LAYOUT}:changelog:{origin}", self.prefix)
    }

    /// Up to where the logs are purged from a CDN, for all partitions.
    pub(crate) fn purged(&self, cdn: &str) -> String {
        format!("{}:{LAYOUT}:cdn:{cdn}", self.prefix)
    }

    /// How late purges from a CDN are.
    pub(crate) fn purge_lag(&self, cdn: &str) -> String {
        format!("{}:{LAYOUT}:cdn-lag:{cdn}", self.prefix)
    }

    pub(crate) fn reads(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("reads"))
    }

    pub(crate) fn popular(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("popular"))
    }

    pub(crate) fn last(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("last"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_name_share_the_hash_tag_of_its_partition() {
        let keys = Keys::new("shop");
        let listing = ListingKey::parse("category:BREAD/price?currency=EUR").unwrap();
        let partition = Partition::of(listing.name());
        let tag = format!("shop:2:{{{}}}:", partition.tag());
        let generation = Generation { id: 7, nonce: 0xab };
        assert_eq!(
            keys.head(&listing).key(),
            format!("{tag}head:category:BREAD/price?currency=EUR")
        );
        assert_eq!(
            keys.stream(&listing, generation).key(),
            format!("{tag}gen:7-000000ab:category:BREAD/price?currency=EUR")
        );
        assert_eq!(keys.head(&listing).listing(), "category:BREAD/price?currency=EUR");
        assert_eq!(
            keys.lease(&listing.family),
            format!("{tag}lease:category:BREAD?currency=EUR")
        );
        assert_eq!(keys.log(partition), format!("{tag}log"));
        assert_eq!(keys.meta(), "shop:meta");
        assert_eq!(keys.channel(), "shop:2:announcements");
        assert_eq!(keys.warm_up(0xab), "shop:2:warm-up:00000000000000ab");
    }

    /// CRC-16/XMODEM, as the Redis Cluster Specification has it.
    fn slot(tag: &str) -> u32 {
        let step = |crc: u32| (crc << 1 ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }) & 0xffff;
        let byte = |crc: u32, byte: u8| (0..8).fold(crc ^ u32::from(byte) << 8, |crc, _| step(crc));
        tag.bytes().fold(0, byte) % 16384
    }

    #[test]
    fn masters_that_share_the_slots_share_the_partitions() {
        assert_eq!(slot("123456789"), 0x31c3);
        for partition in Partition::all() {
            assert!(partition.tag().starts_with(&format!("{:02}", partition.0)));
            assert!(slot(partition.tag()).abs_diff(256 * u32::from(partition.0) + 128) < 32);
        }
        for masters in [2, 3, 5, 16, 32, 64] {
            let mut shares = vec![0; masters as usize];
            for partition in Partition::all() {
                shares[(slot(partition.tag()) * masters / 16384) as usize] += 1;
            }
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(most - least <= 1, "{masters} masters: {shares:?}");
        }
    }

    /// The hash decides where everything lies: another one is another layout.
    #[test]
    fn a_name_never_changes_its_partition() {
        let partition = |name| Partition::of(&ListingName::parse(name).unwrap()).0;
        assert_eq!(
            [partition("category:BREAD"), partition("a"), partition("🍞")],
            [14, 31, 9]
        );
    }
}
