use super::*;

fn subject(name: &str) -> Subject {
    Subject::Family(Family::parse(name).unwrap())
}

fn work(id: i64, entries: &[EntryKey]) -> Work {
    Work {
        changed: BTreeSet::from([ItemId::from_integer(id)]),
        entries: entries.iter().copied().collect(),
        ..Work::default()
    }
}

impl Ledger {
    fn worked_off(&mut self, partition: u8) -> u64 {
        self.advanced();
        self.worked_off[&partition]
    }
}

fn token(number: u8) -> ChangeToken {
    ChangeToken::parse(&format!("{number:032x}")).unwrap()
}

#[test]
fn a_partition_is_worked_off_up_to_the_first_open_entry() {
    let now = Instant::now();
    let mut ledger = Ledger::new(&[10, 10], now);
    for (key, number) in [((0, 11), 1), ((0, 15), 2), ((1, 12), 1)] {
        ledger.open(key, Some(token(number)), 1);
    }
    assert_eq!((ledger.read(), ledger.waiting()), (vec![15, 12], 3));
    ledger.add(subject("a"), work(1, &[(0, 11), (0, 15)]));
    ledger.add(subject("b"), work(2, &[(0, 15)]));
    let settled: Vec<_> = [(0, 11), (0, 15), (1, 12)].map(|key| ledger.settle(key)).into();
    assert_eq!(settled, [None, None, Some((token(1), 1))]);
    assert_eq!(
        ledger.advanced(),
        [(0, 10), (1, 12)]
            .into_iter()
            .filter(|(_, id)| *id > 10)
            .collect::<Vec<_>>()
    );
    let mut begun: Vec<_> = std::iter::from_fn(|| ledger.begin(now)).collect();
    begun.sort_by_key(|(_, work)| work.changed.clone());
    let [(a, of_a), (b, of_b)] = <[_; 2]>::try_from(begun).unwrap();
    assert_eq!(ledger.finish(&b, &of_b).done, []);
    assert_eq!(ledger.advanced(), []);
    // Told while it is worked on: the next one, and not at the same time.
    ledger.open((0, 20), None, 1);
    ledger.add(subject("a"), work(3, &[(0, 20)]));
    assert_eq!(ledger.settle((0, 20)), None);
    assert!(ledger.begin(now).is_none());
    let closed = ledger.finish(&a, &of_a);
    assert_eq!(
        (closed.done, closed.since),
        (vec![(token(1), 0), (token(2), 0)], Some(11))
    );
    assert_eq!(ledger.advanced(), [(0, 19)]);
    let (a, of_a) = ledger.begin(now).unwrap();
    ledger.finish(&a, &of_a);
    assert_eq!((ledger.advanced(), ledger.waiting()), (vec![(0, 20)], 0));
    assert!(ledger.begin(now).is_none());
}

#[test]
fn a_failure_loses_nothing_and_waits() {
    let now = Instant::now();
    let mut ledger = Ledger::new(&[0], now);
    ledger.open((0, 5), None, 1);
    ledger.add(subject("a"), work(1, &[(0, 5)]));
    ledger.settle((0, 5));
    let (a, of_a) = ledger.begin(now).unwrap();
    ledger.open((0, 6), None, 1);
    ledger.add(subject("a"), work(2, &[(0, 5), (0, 6)]));
    ledger.settle((0, 6));
    ledger.fail(a.clone(), of_a, now);
    assert!(ledger.begin(now).is_none());
    let at = ledger.next().unwrap();
    assert!(at > now && at < now + Duration::from_secs(2));
    let (a, of_a) = ledger.begin(at).unwrap();
    assert_eq!(of_a.changed.len(), 2);
    assert_eq!(ledger.advanced(), [(0, 4)]);
    ledger.finish(&a, &of_a);
    assert_eq!(ledger.advanced(), [(0, 6)]);
}

#[test]
fn late_work_waits_for_none_that_is_added_later() {
    let (begun, lag) = (Instant::now(), Duration::from_secs(10));
    let mut ledger = Ledger::new(&[0], begun);
    for second in 1..=60 {
        let (now, key) = (begun + Duration::from_secs(second), (0, second));
        ledger.open(key, None, 1);
        ledger.add(subject("a"), work(1, &[key]));
        ledger.settle(key);
        while let Some((subject, work)) = ledger.begin(now) {
            if !matches!(subject, Subject::Late(..)) {
                ledger.add_late(subject.clone(), work.clone(), lag, now);
            }
            ledger.finish(&subject, &work);
        }
        // Nothing is closed before it was done a second time, a lag after the first, and nothing later than after two.
        let worked_off = ledger.worked_off(0);
        assert!(worked_off <= second.saturating_sub(10), "{worked_off} of {second}");
        assert!(worked_off + 22 >= second, "{worked_off} of {second}");
    }
}

#[test]
fn the_later_word_about_an_item_counts() {
    let gone = |id: i64| Work {
        gone: BTreeSet::from([ItemId::from_integer(id)]),
        ..Work::default()
    };
    let mut both = work(1, &[]);
    both.merge(gone(1));
    assert_eq!((both.changed.len(), both.gone.len()), (0, 1));
    both.merge(work(1, &[]));
    assert_eq!((both.changed.len(), both.gone.len()), (1, 0));
}

#[test]
fn a_family_that_held_an_item_at_an_earlier_change_is_searched_for_again() {
    let held = |name: &str, id: i64| (Family::parse(name).unwrap(), ItemId::from_integer(id));
    let searched = |id: i64, families: &[&str]| Work {
        held: families.iter().map(|name| held(name, id)).collect(),
        ..work(id, &[])
    };
    let mut both = searched(1, &["a", "b"]);
    both.merge(searched(2, &["a"]));
    assert_eq!(both.held.len(), 3);
    // Meanwhile the item has left `a`, which must be told if it comes back.
    both.merge(searched(1, &["b"]));
    assert_eq!(both.held, BTreeSet::from([held("a", 2), held("b", 1)]));
}
