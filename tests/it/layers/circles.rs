//! Circles: files that use each other, directly or through others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::tree::{Arrow, Tree};

/// One shortest circle for each set of files that stand in circles together, each arrow on a line.
pub(super) fn circles(tree: &Tree, arrows: &[Arrow]) -> Vec<String> {
    let mut from: BTreeMap<usize, Vec<&Arrow>> = BTreeMap::new();
    for arrow in arrows.iter().filter(|arrow| !tree.files[arrow.from].items.is_a_list()) {
        from.entry(arrow.from).or_default().push(arrow);
    }
    let mut seen: BTreeSet<usize> = BTreeSet::new();
    let mut found = Vec::new();
    for start in from.keys() {
        if seen.contains(start) {
            continue;
        }
        let Some(circle) = way_back(&from, *start) else {
            continue;
        };
        let reached = reached(&from, *start);
        seen.extend(
            reached
                .iter()
                .filter(|file| self::reached(&from, **file).contains(start)),
        );
        let lines = circle.iter().map(|arrow| {
            let verb = if arrow.is_call { "calls" } else { "uses" };
            let to = &tree.files[arrow.to].path;
            format!("{} {verb} {} of {to}", tree.place(arrow.from, arrow.line), arrow.what)
        });
        found.push(lines.collect::<Vec<_>>().join("\n  "));
    }
    found
}

fn reached(from: &BTreeMap<usize, Vec<&Arrow>>, start: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        for arrow in from.get(&file).into_iter().flatten() {
            if reached.insert(arrow.to) {
                open.push(arrow.to);
            }
        }
    }
    reached
}

/// The shortest way from a file to itself.
fn way_back<'a>(from: &BTreeMap<usize, Vec<&'a Arrow>>, start: usize) -> Option<Vec<&'a Arrow>> {
    let mut came_by: BTreeMap<usize, &Arrow> = BTreeMap::new();
    let mut open = VecDeque::from([start]);
    while let Some(file) = open.pop_front() {
        for arrow in from.get(&file).into_iter().flatten() {
            came_by.entry(arrow.to).or_insert_with(|| {
                open.push_back(arrow.to);
                arrow
            });
            if arrow.to == start {
                let mut way = vec![*arrow];
                while way[0].from != start {
                    way.insert(0, came_by[&way[0].from]);
                }
                return Some(way);
            }
        }
    }
    None
}
