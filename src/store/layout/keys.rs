//! The name of every key and channel. `docs/redis-layout.md` lists them; no other file makes one.
//!
//! All keys of a listing name share a hash tag, the partition's number in braces, so one script may touch them all, in a cluster too.
//! The listing's name itself never stands inside a hash tag: its encoded form holds no brace.

use xxhash_rust::xxh3::xxh3_64;

use crate::listing::{Family, Generation, ListingKey, ListingName};

/// Number of partitions that listing names hash into.
pub const PARTITIONS: u8 = 64;

/// The version of the layout; it stands in every key but `meta`, which tells versions apart.
pub(crate) const LAYOUT: u32 = 1;

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
        format!("{}:{LAYOUT}:{{{:02}}}:{rest}", self.prefix, partition.0)
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

    pub(crate) fn head(&self, listing: &ListingKey) -> String {
        self.in_partition(Partition::of(listing.name()), format_args!("head:{listing}"))
    }

    pub(crate) fn stream(&self, listing: &ListingKey, generation: Generation) -> String {
        let partition = Partition::of(listing.name());
        self.in_partition(partition, format_args!("gen:{generation}:{listing}"))
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

    pub(crate) fn names(&self, partition: Partition) -> String {
        self.in_partition(partition, format_args!("names"))
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
        let tag = format!("shop:1:{{{:02}}}:", partition.0);
        let generation = Generation { id: 7, nonce: 0xab };
        assert_eq!(
            keys.head(&listing),
            format!("{tag}head:category:BREAD/price?currency=EUR")
        );
        assert_eq!(
            keys.stream(&listing, generation),
            format!("{tag}gen:7-000000ab:category:BREAD/price?currency=EUR")
        );
        assert_eq!(
            keys.lease(&listing.family),
            format!("{tag}lease:category:BREAD?currency=EUR")
        );
        assert_eq!(keys.log(partition), format!("{tag}log"));
        assert_eq!(keys.meta(), "shop:meta");
        assert_eq!(keys.channel(), "shop:1:announcements");
        assert_eq!(keys.warm_up(0xab), "shop:1:warm-up:00000000000000ab");
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
