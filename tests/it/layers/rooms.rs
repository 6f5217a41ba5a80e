//! The rooms of the engine, HTTP and the store, from the top down, and arrows that point up.

use super::tree::{Arrow, Tree};

/// The rooms of one layer. Each entry of a line uses those on the lines below it, and none beside it.
/// A room is a folder or a file.
pub(super) type Order = &'static [&'static [&'static str]];

pub(super) const ROOMS: &[(&str, Order)] = &[
    (
        "engine",
        &[
            &["mod"],
            &["loops"],
            &["operations"],
            &["reading", "warm_up", "changing", "purging"],
            &["refreshing"],
            &["coherence"],
            &["fetching"],
            &["declared"],
            &["l1"],
            &["loads"],
            &["error", "limits"],
        ],
    ),
    (
        "http",
        &[
            &["mod"],
            &["server"],
            &["listener"],
            &["beyond_limit"],
            &["routes"],
            &["storefront"],
            &["api"],
            &["pages"],
            &["edge"],
            &["request"],
            &["wire"],
            &["problem"],
        ],
    ),
    (
        "store",
        &[
            &["mod"],
            &["moving"],
            &["handle"],
            &["start", "private_server"],
            &["rights"],
            &["records"],
            &["writing", "hearing"],
            &["reading"],
            &["access"],
            &["layout"],
            &["dictionaries"],
            &["wire"],
            &["scripts"],
            &["connect_error"],
            &["health"],
            &["error"],
        ],
    ),
];

/// Arrows of one layer that do not point down, and rooms that the table does not know.
pub(super) fn wrong_rooms(tree: &Tree, arrows: &[Arrow], layer: &str, order: Order) -> Vec<String> {
    let room = |file: usize| {
        let below = tree.files[file].path.strip_prefix(layer)?.strip_prefix('/')?;
        let first = below.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    };
    let step = |room: &str| order.iter().position(|step| step.contains(&room));
    let mut wrong = Vec::new();
    for (at, file) in tree.files.iter().enumerate() {
        if room(at).is_some_and(|room| step(room).is_none()) {
            wrong.push(format!("src/{}: {layer} has no such room", file.path));
        }
    }
    for arrow in arrows {
        let (Some(from), Some(to)) = (room(arrow.from), room(arrow.to)) else {
            continue;
        };
        // A list of what is inside names all.
        let is_list = from == "mod" && tree.files[arrow.from].items.is_a_list();
        if from != to && step(from) >= step(to) && !is_list {
            wrong.push(format!(
                "{} {layer}/{from} uses {} of {}",
                tree.place(arrow.from, arrow.line),
                arrow.what,
                tree.files[arrow.to].path
            ));
        }
    }
    wrong
}
