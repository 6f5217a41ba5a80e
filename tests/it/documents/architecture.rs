//! The map is short, and true to the tree.

use super::{root, text};

const WORDS_MAX: usize = 2000;

/// Rooms that a page in L1 enters.
const ROOMS_MAX: usize = 10;

#[test]
fn the_architecture_is_short() {
    let words = text("ARCHITECTURE.md").split_whitespace().count();
    assert!(words <= WORDS_MAX, "{words} words");
}

#[test]
fn every_path_that_the_maps_name_is_there() {
    for page in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let missing = missing_paths(&text(page));
        assert!(missing.is_empty(), "{page} names {missing:?}");
    }
}

#[test]
fn a_page_in_l1_enters_few_rooms() {
    let text = text("ARCHITECTURE.md");
    let wrong = wrong_walk(&section(&text, "### A page in L1"));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// From a heading to the next one.
fn section(text: &str, heading: &str) -> String {
    let mut lines = text.lines().skip_while(|line| *line != heading).skip(1);
    let section: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with('#')).collect();
    assert!(!section.is_empty(), "no {heading}");
    section.join("\n")
}

/// The quoted paths that lead nowhere. In a table whose head names a folder, they are below it.
fn missing_paths(text: &str) -> Vec<String> {
    let mut folder = String::new();
    let mut missing = Vec::new();
    for (line, next) in text.lines().zip(text.lines().skip(1).chain([""])) {
        let quoted: Vec<_> = line.split('`').skip(1).step_by(2).collect();
        let is_row = line.starts_with('|');
        if !is_row || next.starts_with("|---") {
            let named = quoted.iter().find(|name| is_row && name.ends_with('/'));
            folder = named.map_or(String::new(), |name| name.to_string());
        }
        for name in quoted
            .into_iter()
            .filter(|name| is_path(name) || !folder.is_empty() && name.ends_with(".rs"))
        {
            let places = ["", "src/", "tests/it/", "src/config/check/", folder.as_str()];
            if !places
                .iter()
                .any(|place| root().join(format!("{place}{name}")).exists())
            {
                missing.push(name.to_owned());
            }
        }
    }
    missing
}

fn is_path(name: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "_-./".contains(letter);
    name.contains('/') && !name.starts_with('/') && name.chars().all(letters)
}

/// `engine/l1` for `engine/l1/shape.rs`, `http/edge` for `http/edge.rs`. The vocabulary (`listing`) is no room.
fn rooms(walk: &str) -> Vec<String> {
    let quoted = walk.lines().flat_map(|line| line.split('`').skip(1).step_by(2));
    let files = quoted.filter(|name| is_path(name) && !name.starts_with("listing/"));
    let room = |name: &str| {
        let parts: Vec<_> = name.trim_end_matches(".rs").split('/').take(2).collect();
        parts.join("/")
    };
    let mut rooms: Vec<String> = files.map(room).collect();
    rooms.dedup();
    rooms
}

fn wrong_walk(walk: &str) -> Vec<String> {
    let mut rooms = rooms(walk);
    let entered = rooms.join(", ");
    let mut wrong = Vec::new();
    if rooms.is_empty() {
        wrong.push("no rooms".to_owned());
    }
    rooms.sort();
    for visits in rooms.chunk_by(|one, other| one == other) {
        let most = if visits[0] == "http/pages" { 2 } else { 1 };
        if visits.len() > most {
            wrong.push(format!("{} is entered {} times: {entered}", visits[0], visits.len()));
        }
    }
    rooms.dedup();
    if rooms.len() > ROOMS_MAX {
        wrong.push(format!("{} rooms: {entered}", rooms.len()));
    }
    wrong
}

#[test]
fn a_path_that_leads_nowhere_is_seen() {
    assert_eq!(
        missing_paths("`engine/mod.rs`, `src/lib.rs`, `layers/tree.rs`, `a b/c`, `/health/live`"),
        [""; 0]
    );
    assert_eq!(
        missing_paths("see `engine/attic/`, or `engine/none.rs`"),
        ["engine/attic/", "engine/none.rs"]
    );
    let table = "| `src/http/` | |\n|---|---|\n| `edge.rs` | |\n| `none.rs` | |\n\n`mod.rs`";
    assert_eq!(missing_paths(table), ["none.rs"]);
}

#[test]
fn a_long_way_is_seen() {
    let good = "`http/pages/a.rs` `http/pages/b.rs` `engine/l1/x.rs` `listing/y.rs` `engine/l1/z.rs` `http/pages/c.rs`";
    assert_eq!(wrong_walk(good), [""; 0]);
    let thrice = format!("{good}\n`http/edge.rs` `http/pages/d.rs`");
    assert_eq!(
        wrong_walk(&thrice),
        ["http/pages is entered 3 times: http/pages, engine/l1, http/pages, http/edge, http/pages"]
    );
    assert_eq!(
        wrong_walk("`engine/l1/x.rs` `http/edge.rs` `engine/l1/y.rs`"),
        ["engine/l1 is entered 2 times: engine/l1, http/edge, engine/l1"]
    );
    let many: String = (0..11).map(|at| format!("`http/r{at}/f.rs` ")).collect();
    assert_eq!(wrong_walk(&many).len(), 1);
    assert_eq!(wrong_walk("nothing"), ["no rooms"]);
}
