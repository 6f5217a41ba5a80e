use std::num::NonZeroU32;

use super::*;
use crate::listing::{Generation, Head, Timestamp};

fn key(name: &str) -> ListingKey {
    ListingKey::parse(&format!("{name}/price")).unwrap()
}

fn head(id: u64) -> HeadState {
    HeadState::Live(Head {
        generation: Generation { id, nonce: 1 },
        total: id,
        chunk_len: NonZeroU32::new(12).unwrap(),
        as_of: Timestamp(id),
        definition: 0,
        definition_version: 0,
        pins_from: 0,
        delta: None,
        codec: crate::listing::Codec::Plain,
        next_change: None,
    })
}

fn table() -> HeadTable {
    let limits = HeadTableLimits {
        ttl_ms: 2000,
        heads_max: 10,
        absent_max: 10,
    };
    HeadTable::new(limits, 1)
}

fn loaded(table: &mut HeadTable, name: &str, state: HeadState, now: u64) {
    let ticket = table.begin_load(&key(name), now);
    table.end_load(&key(name), ticket, Some(state), now);
}

#[test]
fn a_head_is_served_for_its_ttl_and_then_good_for_speculation() {
    let mut table = table();
    assert_eq!(table.lookup(&key("a"), 0), Lookup::Unknown);
    loaded(&mut table, "a", head(5), 100);
    assert_eq!(table.lookup(&key("a"), 2099), Lookup::Usable(head(5)));
    assert_eq!(table.lookup(&key("a"), 2100), Lookup::Recheck(head(5)));
}

#[test]
fn an_announcement_during_a_load_wins_over_what_the_load_brings() {
    let mut table = table();
    let ticket = table.begin_load(&key("a"), 0);
    table.announce(&key("a"), head(6), false, 1);
    assert_eq!(table.end_load(&key("a"), ticket, Some(head(5)), 2), Some(head(6)));
    assert_eq!(table.lookup(&key("a"), 3), Lookup::Usable(head(6)));
}

#[test]
fn an_announcement_and_a_fill_of_a_newer_head_commute() {
    let mut table = table();
    let ticket = table.begin_load(&key("a"), 0);
    table.announce(&key("a"), head(6), false, 1);
    assert_eq!(table.end_load(&key("a"), ticket, Some(head(7)), 2), Some(head(7)));
    table.announce(&key("a"), head(6), false, 3);
    assert_eq!(table.lookup(&key("a"), 4), Lookup::Usable(head(7)));
}

#[test]
fn a_delete_during_a_load_wins() {
    let mut table = table();
    loaded(&mut table, "a", head(5), 0);
    let ticket = table.begin_load(&key("a"), 0);
    let deleted = HeadState::Deleted(Generation { id: 6, nonce: 1 });
    table.announce(&key("a"), deleted.clone(), false, 1);
    assert_eq!(
        table.end_load(&key("a"), ticket, Some(head(5)), 2),
        Some(deleted.clone())
    );
    assert_eq!(table.lookup(&key("a"), 3), Lookup::Usable(deleted));
}

#[test]
fn an_absent_answer_older_than_an_announcement_is_dropped_and_a_later_one_is_believed() {
    let mut table = table();
    let ticket = table.begin_load(&key("a"), 0);
    table.announce(&key("a"), head(6), false, 1);
    assert_eq!(
        table.end_load(&key("a"), ticket, Some(HeadState::Absent), 2),
        Some(head(6))
    );
    loaded(&mut table, "a", HeadState::Absent, 3);
    assert_eq!(table.lookup(&key("a"), 4), Lookup::Usable(HeadState::Absent));
}

#[test]
fn an_older_head_read_after_its_successor_was_announced_is_not_kept() {
    let mut table = table();
    table.announce(&key("a"), head(6), true, 0);
    let ticket = table.begin_load(&key("a"), 1);
    assert_eq!(table.end_load(&key("a"), ticket, Some(head(5)), 2), Some(head(6)));
    assert_eq!(table.lookup(&key("a"), 3), Lookup::Usable(head(6)));
}

#[test]
fn a_new_epoch_makes_heads_suspect_forgets_floors_and_keeps_no_old_load() {
    let mut table = table();
    table.announce(&key("a"), head(6), true, 0);
    let ticket = table.begin_load(&key("a"), 1);
    table.begin_epoch();
    assert_eq!(table.lookup(&key("a"), 1), Lookup::Recheck(head(6)));
    table.end_load(&key("a"), ticket, Some(head(7)), 2);
    assert_eq!(table.lookup(&key("a"), 2), Lookup::Recheck(head(6)));
    // Ids may have gone back: the floor of the old epoch no longer holds.
    loaded(&mut table, "a", head(3), 3);
    assert_eq!(table.lookup(&key("a"), 4), Lookup::Usable(head(3)));
}

#[test]
fn announcements_of_listings_nobody_reads_here_take_no_place() {
    let mut table = table();
    table.announce(&key("a"), head(6), false, 0);
    assert!(table.len() == 0);
}

#[test]
fn absent_names_evict_no_head_and_loads_under_way_are_not_evicted() {
    let mut table = table();
    for name in 0..10 {
        loaded(&mut table, &format!("head{name}"), head(5), name);
    }
    let ticket = table.begin_load(&key("head3"), 20);
    for name in 0..1000 {
        loaded(&mut table, &format!("absent{name}"), HeadState::Absent, 30 + name);
    }
    assert!(table.len() <= 20, "{}", table.len());
    for name in 0..500 {
        loaded(&mut table, &format!("more{name}"), head(5), 2000 + name);
    }
    table.announce(&key("head3"), head(9), false, 3000);
    assert_eq!(
        table.end_load(&key("head3"), ticket, Some(head(5)), 3001),
        Some(head(9))
    );
}

#[test]
fn what_was_known_does_not_hide_a_damaged_head() {
    let mut table = table();
    loaded(&mut table, "a", head(5), 0);
    let ticket = table.begin_load(&key("a"), 3000);
    assert_eq!(table.lookup(&key("a"), 3000), Lookup::Recheck(head(5)));
    table.end_damaged_load(&key("a"), ticket);
    assert_eq!(table.lookup(&key("a"), 3000), Lookup::Unknown);
    assert!(table.len() == 0);
}

#[test]
fn what_is_learnt_while_a_damaged_head_is_read_stays() {
    let mut table = table();
    loaded(&mut table, "a", head(5), 0);
    let ticket = table.begin_load(&key("a"), 3000);
    table.announce(&key("a"), head(6), false, 3001);
    table.end_damaged_load(&key("a"), ticket);
    assert_eq!(table.lookup(&key("a"), 3002), Lookup::Usable(head(6)));
}
