//! The folders are the architecture: reads the sources, and names the line that breaks it.
//!
//! `items` reads a file's imports, paths, definitions and methods; `tree` follows each path, through re-exports, to the file that defines its end;
//! `rooms` has the order of the rooms inside the layers, and `circles` looks for ways back. Comments and unit tests are not read.

mod circles;
mod items;
mod lines;
mod rooms;
mod seen;
pub(crate) mod tokens;
mod tree;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use self::{
    circles::circles,
    rooms::{ROOMS, wrong_rooms},
    tree::{Arrow, Tree},
};

/// A file of more lines usually holds two concepts.
const LINES_MAX: usize = 400;

/// A folder of more files usually holds two rooms.
const FILES_MAX: usize = 14;

/// A type with more fields or methods is several parts.
const FIELDS_MAX: usize = 12;
const METHODS_MAX: usize = 25;

/// Where no files may use each other in a circle.
const WITHOUT_CIRCLES: &[&str] = &[
    "engine",
    "http",
    "store",
    "config",
    "cli",
    "origin",
    "cdn",
    "listing",
    "telemetry",
];

/// Types that put parts together.
const SMALL: &[&str] = &["engine::Engine", "store::Store"];

/// Each layer with those it may use besides itself; what is not listed (`cli`, `app`, `main`, `lib`) stands around them.
const LAYERS: &[(&str, &[&str])] = &[
    ("listing", &[]),
    // An origin is opened from its part of the configuration.
    ("origin", &["listing", "config", "telemetry"]),
    ("store", &["listing", "telemetry"]),
    ("cdn", &["config"]),
    ("engine", &["listing", "origin", "cdn", "store", "config", "telemetry"]),
    ("http", &["listing", "engine", "config", "telemetry"]),
    ("config", &["listing"]),
    ("telemetry", &[]),
];

#[test]
fn no_arrow_points_the_wrong_way() {
    let tree = read_tree();
    nothing(wrong_arrows(&tree, &tree.arrows()));
}

#[test]
fn rooms_use_only_rooms_below_them() {
    let tree = read_tree();
    let arrows = tree.arrows();
    nothing(
        ROOMS
            .iter()
            .flat_map(|(layer, order)| wrong_rooms(&tree, &arrows, layer, order)),
    );
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let tree = read_tree();
    nothing(WITHOUT_CIRCLES.iter().flat_map(|layer| circles_of_layer(&tree, layer)));
}

#[test]
fn no_folder_has_too_many_files() {
    let paths: Vec<_> = sources().into_iter().map(|(path, _)| path).collect();
    nothing(full_folders(&paths));
}

#[test]
fn engine_and_store_are_small_and_stand_in_one_file_each() {
    let tree = read_tree();
    nothing(SMALL.iter().flat_map(|of| large_type(&tree, of)));
}

#[test]
fn no_source_file_is_too_long() {
    let long: Vec<_> = files("src")
        .into_iter()
        .chain(files("tests"))
        .filter_map(|path| {
            let lines = fs::read_to_string(&path).unwrap().lines().count();
            (lines > LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "longer than {LINES_MAX} lines:\n{}", long.join("\n"));
}

/// Fails with all that is wrong.
#[track_caller]
fn nothing(wrong: impl IntoIterator<Item = String>) {
    let wrong: Vec<_> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn read_tree() -> Tree {
    let sources = sources();
    Tree::new(sources.iter().map(|(path, code)| (path.as_str(), code.as_str())))
}

/// All files of `src`: the path below it, with `/`, and the text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let read = |path: PathBuf| {
        let below = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
        (below, fs::read_to_string(&path).unwrap())
    };
    files("src").into_iter().map(read).collect()
}

/// All Rust files of a folder.
pub(crate) fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {folder}");
    found.sort();
    found
}

/// `store` for `store/reading/heads.rs`, `app` for `app.rs`.
fn layer_of(path: &str) -> &str {
    let first = path.split('/').next().unwrap_or_default();
    first.strip_suffix(".rs").unwrap_or(first)
}

fn wrong_arrows(tree: &Tree, arrows: &[Arrow]) -> Vec<String> {
    let mut wrong = Vec::new();
    for arrow in arrows {
        let [from, to] = [arrow.from, arrow.to].map(|file| layer_of(&tree.files[file].path));
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == from) else {
            continue;
        };
        let is_layer = ["cli", "app"].contains(&to) || LAYERS.iter().any(|(name, _)| *name == to);
        if is_layer && to != from && !allowed.contains(&to) {
            wrong.push(format!(
                "{} {from} uses {to}: {}",
                tree.place(arrow.from, arrow.line),
                arrow.what
            ));
        }
    }
    wrong
}

fn circles_of_layer(tree: &Tree, layer: &str) -> Vec<String> {
    let is_of_layer = |file: &usize| layer_of(&tree.files[*file].path) == layer;
    let mut arrows = tree.arrows();
    arrows.retain(|arrow| [arrow.from, arrow.to].iter().all(is_of_layer));
    circles(tree, &arrows)
}

/// The folders of layers with rooms that have too many of these files.
fn full_folders(paths: &[String]) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    let in_rooms = |path: &&String| ROOMS.iter().any(|(layer, _)| layer_of(path) == *layer);
    for (folder, _) in paths.iter().filter(in_rooms).filter_map(|path| path.rsplit_once('/')) {
        *folders.entry(folder).or_default() += 1;
    }
    let full = folders.into_iter().filter(|(_, files)| *files > FILES_MAX);
    full.map(|(folder, files)| format!("src/{folder}: {files} files"))
        .collect()
}

fn large_type(tree: &Tree, of: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let files = tree.methods_of(&tree.canonical(of));
    if files.len() != 1 {
        let named: Vec<_> = files.keys().map(|file| tree.files[*file].path.as_str()).collect();
        wrong.push(format!(
            "{of} has methods in {} files: {}",
            files.len(),
            named.join(" ")
        ));
    }
    let methods: usize = files.values().sum();
    if methods > METHODS_MAX {
        wrong.push(format!("{of} has {methods} methods"));
    }
    let fields = tree
        .fields(&tree.canonical(of))
        .unwrap_or_else(|| panic!("no struct {of}"));
    if fields > FIELDS_MAX {
        wrong.push(format!("{of} has {fields} fields"));
    }
    wrong
}
