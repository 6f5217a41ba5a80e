//! Each check of the folders fails where it should: on small trees that break it.

use super::{FILES_MAX, circles_of_layer, full_folders, large_type, rooms::wrong_rooms, tree::Tree, wrong_arrows};

/// A tree of these files and of all the modules above them.
fn tree(files: &[(&str, &str)]) -> Tree {
    let mut sources: Vec<(String, String)> = vec![("lib.rs".to_owned(), String::new())];
    for (path, code) in files {
        let parts: Vec<_> = path.split('/').collect();
        for depth in 1..parts.len() {
            let parent = format!("{}/mod.rs", parts[..depth].join("/"));
            let child = parts[depth].trim_end_matches(".rs");
            let at = sources.iter().position(|(path, _)| *path == parent).unwrap_or_else(|| {
                sources.push((parent, String::new()));
                sources.len() - 1
            });
            if child != "mod" && !sources[at].1.contains(&format!("mod {child};")) {
                sources[at].1.push_str(&format!("mod {child};"));
            }
        }
        match sources.iter_mut().find(|(known, _)| known == path) {
            // Its own lines keep their numbers.
            Some((_, declared)) => *declared = format!("{declared}{code}"),
            None => sources.push((path.to_string(), code.to_string())),
        }
    }
    Tree::new(sources.iter().map(|(path, code)| (path.as_str(), code.as_str())))
}

#[track_caller]
fn layers(path: &str, code: &str, expect: &[&str]) {
    let listing = ("listing/mod.rs", "pub struct Head;");
    let engine = ("engine/mod.rs", "pub use crate::store::Near; pub struct Engine;");
    let store = ("store/mod.rs", "pub struct Store; pub struct Near;");
    let http = ("http/mod.rs", "pub struct X; pub struct Server;");
    let mut files = vec![listing, engine, store, http];
    match files.iter_mut().find(|(known, _)| *known == path) {
        Some(known) => known.1 = code,
        None => files.push((path, code)),
    }
    let tree = tree(&files);
    let seen = wrong_arrows(&tree, &tree.arrows());
    let seen: Vec<_> = seen.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(seen, expect);
}

#[test]
fn an_arrow_the_wrong_way_is_seen() {
    layers("store/reading/heads.rs", "use crate::listing::Head;\n", &[]);
    layers(
        "store/reading/heads.rs",
        "\nuse crate::engine::Engine;\n",
        &["src/store/reading/heads.rs:2 store uses engine"],
    );
    layers(
        "store/reading/heads.rs",
        "fn f() -> super::super::super::http::X {}\n",
        &["src/store/reading/heads.rs:1 store uses http"],
    );
    layers(
        "store/mod.rs",
        "fn f() -> super::http::X {}\n",
        &["src/store/mod.rs:1 store uses http"],
    );
    layers("store/reading/heads.rs", "fn f() -> super::keys::X {}\n", &[]);
    layers(
        "http/pages/page.rs",
        "use crate::{\n    engine::{Engine, store},\n    listing::Head,\n    store::Store,\n};\n",
        &["src/http/pages/page.rs:4 http uses store"],
    );
    layers("app.rs", "use crate::{store::Store, http::Server};\n", &[]);
}

#[test]
fn an_arrow_through_a_re_export_is_seen() {
    layers(
        "http/pages/page.rs",
        "use crate::engine::Near;\n",
        &["src/http/pages/page.rs:1 http uses store"],
    );
    layers(
        "http/pages/page.rs",
        "use crate::engine;\n\nfn f(near: engine::Near) {}\n",
        &["src/http/pages/page.rs:3 http uses store"],
    );
}

#[track_caller]
fn rooms(files: &[(&str, &str)], expect: &[&str]) {
    let tree = tree(files);
    let order: super::rooms::Order = &[&["mod"], &["reading", "warm_up"], &["l1"]];
    assert_eq!(wrong_rooms(&tree, &tree.arrows(), "engine", order), expect);
}

#[test]
fn a_room_that_uses_one_above_it_is_seen() {
    let page = (
        "engine/reading/page.rs",
        "use super::super::l1::L1;\n\npub(crate) struct Page(L1);\n",
    );
    let l1 = ("engine/l1/mod.rs", "pub(crate) struct L1;\n");
    rooms(&[page, l1], &[]);
    rooms(
        &[
            page,
            (
                "engine/l1/mod.rs",
                "use crate::engine::reading::page::Page;\n\npub(crate) struct L1;\n",
            ),
        ],
        &["src/engine/l1/mod.rs:1 engine/l1 uses Page of engine/reading/page.rs"],
    );
    // Through the layer's list.
    rooms(
        &[
            page,
            ("engine/mod.rs", "pub use self::reading::page::Page;\n"),
            (
                "engine/l1/mod.rs",
                "pub(crate) struct L1;\n\nfn f(page: &crate::engine::Page) {}\n",
            ),
        ],
        &["src/engine/l1/mod.rs:3 engine/l1 uses Page of engine/reading/page.rs"],
    );
}

#[test]
fn a_room_that_uses_one_beside_it_is_seen() {
    let page = ("engine/reading/page.rs", "pub(crate) struct Page;\n");
    rooms(
        &[
            page,
            (
                "engine/warm_up/job.rs",
                "use crate::engine::reading::page;\n\nfn f(page: page::Page) {}\n",
            ),
        ],
        &[
            "src/engine/warm_up/job.rs:1 engine/warm_up uses engine::reading::page of engine/reading/page.rs",
            "src/engine/warm_up/job.rs:3 engine/warm_up uses Page of engine/reading/page.rs",
        ],
    );
}

#[test]
fn a_room_without_a_place_is_seen() {
    rooms(
        &[("engine/attic/boxes.rs", "pub(crate) struct Box;\n")],
        &[
            "src/engine/attic/mod.rs: engine has no such room",
            "src/engine/attic/boxes.rs: engine has no such room",
        ],
    );
}

#[test]
fn unit_tests_are_not_read() {
    let page = ("engine/reading/page.rs", "pub(crate) struct Page;\n");
    let test = "pub(crate) struct L1;\n#[cfg(test)]\nmod tests {\n    use crate::engine::reading::page::Page;\n}\n";
    rooms(&[page, ("engine/l1/mod.rs", test)], &[]);
    let one = "pub(crate) struct L1;\n#[cfg(test)]\nuse crate::engine::reading::page::{self, Page};\n";
    rooms(&[page, ("engine/l1/mod.rs", one)], &[]);
    let shown = "pub(in crate::engine::reading::page) struct L1;\n";
    rooms(&[page, ("engine/l1/mod.rs", shown)], &[]);
    let comment = "/// See [`crate::engine::reading::page::Page`].\npub(crate) struct L1;\nconst A: &str = \"crate::engine::reading::page::f\";\n";
    rooms(&[page, ("engine/l1/mod.rs", comment)], &[]);
}

#[track_caller]
fn ways_back(files: &[(&str, &str)], expect: &[&str]) {
    assert_eq!(circles_of_layer(&tree(files), "engine"), expect);
}

#[test]
fn files_that_import_each_other_are_seen() {
    let a = ("engine/a.rs", "use super::b::B;\n\npub(super) struct A(B);\n");
    ways_back(&[a, ("engine/b.rs", "pub(super) struct B;\n")], &[]);
    ways_back(
        &[a, ("engine/b.rs", "pub(super) struct B(super::a::A);\n")],
        &["src/engine/a.rs:1 uses B of engine/b.rs\n  src/engine/b.rs:1 uses A of engine/a.rs"],
    );
}

#[test]
fn a_circle_of_three_files_is_seen_once() {
    ways_back(
        &[
            ("engine/a.rs", "use super::b::B;\npub(super) struct A(B);\n"),
            ("engine/b.rs", "use super::c::C;\npub(super) struct B(C);\n"),
            ("engine/c.rs", "use super::a::A;\npub(super) struct C(A);\n"),
        ],
        &[
            "src/engine/a.rs:1 uses B of engine/b.rs\n  src/engine/b.rs:1 uses C of engine/c.rs\n  \
           src/engine/c.rs:1 uses A of engine/a.rs",
        ],
    );
}

#[test]
fn a_circle_through_a_list_of_modules_is_one_of_the_files_that_it_names() {
    let list = ("engine/mod.rs", "pub use self::{a::A, b::B};\n");
    let a = ("engine/a.rs", "use super::B;\n\npub(super) struct A(B);\n");
    ways_back(&[list, a, ("engine/b.rs", "pub(super) struct B;\n")], &[]);
    ways_back(
        &[
            list,
            a,
            ("engine/b.rs", "use crate::engine::A;\npub(super) struct B(A);\n"),
        ],
        &["src/engine/a.rs:1 uses B of engine/b.rs\n  src/engine/b.rs:1 uses A of engine/a.rs"],
    );
}

#[test]
fn a_module_with_code_is_in_a_circle_with_what_it_calls() {
    ways_back(
        &[
            ("engine/mod.rs", "\npub struct E;\nfn f() {\n    a::f(&E);\n}\n"),
            ("engine/a.rs", "pub(super) fn f(e: &super::E) {}\n"),
        ],
        &["src/engine/mod.rs:4 uses f of engine/a.rs\n  src/engine/a.rs:1 uses E of engine/mod.rs"],
    );
}

#[test]
fn methods_that_call_each_other_across_files_are_seen() {
    let e = ("engine/e.rs", "pub(super) struct E;\n");
    let read = (
        "engine/read.rs",
        "use super::e::E;\nimpl E {\n    fn read(&self) {\n        self.pin();\n    }\n    fn again(&self) {}\n}\n",
    );
    let pin = "use super::e::E;\nimpl E {\n    fn pin(&self) {\n        drop(self.clone());\n    }\n}\n";
    ways_back(&[e, read, ("engine/pin.rs", pin)], &[]);
    let back = pin.replace("drop(self.clone())", "let e = self.clone();\n        e.again()");
    ways_back(
        &[e, read, ("engine/pin.rs", &back)],
        &["src/engine/pin.rs:5 calls E::again of engine/read.rs\n  src/engine/read.rs:4 calls E::pin of engine/pin.rs"],
    );
    let back = pin.replace("drop(self.clone())", "Self::again(self)");
    ways_back(
        &[e, read, ("engine/pin.rs", &back)],
        &["src/engine/pin.rs:4 calls E::again of engine/read.rs\n  src/engine/read.rs:4 calls E::pin of engine/pin.rs"],
    );
}

#[test]
fn a_full_folder_is_seen() {
    let paths = |count: usize| (0..count).map(|at| format!("engine/l1/f{at}.rs")).collect::<Vec<_>>();
    assert!(full_folders(&paths(FILES_MAX)).is_empty());
    assert_eq!(full_folders(&paths(FILES_MAX + 1)), ["src/engine/l1: 15 files"]);
    let of_cli: Vec<_> = (0..20).map(|at| format!("cli/f{at}.rs")).collect();
    assert!(full_folders(&of_cli).is_empty());
}

#[test]
fn a_large_type_is_seen() {
    let methods = |count: usize| (0..count).map(|at| format!("fn f{at}() {{}}")).collect::<String>();
    let fields = |count: usize| {
        (0..count)
            .map(|at| format!("f{at}: Vec<std::io::Error>,"))
            .collect::<String>()
    };
    let engine = |fields_: usize, methods_: usize| {
        format!(
            "pub struct Engine {{ {} }} impl Engine {{ {} }}",
            fields(fields_),
            methods(methods_)
        )
    };
    let seen = |files: &[(&str, &str)]| large_type(&tree(files), "engine::Engine");
    assert!(seen(&[("engine/mod.rs", &engine(12, 25))]).is_empty());
    assert_eq!(
        seen(&[("engine/mod.rs", &engine(13, 25))]),
        ["engine::Engine has 13 fields"]
    );
    assert_eq!(
        seen(&[("engine/mod.rs", &engine(12, 26))]),
        ["engine::Engine has 26 methods"]
    );
    let further = ("engine/more.rs", "impl super::Engine { fn more(&self) {} }");
    assert_eq!(
        seen(&[("engine/mod.rs", &engine(12, 2)), further]),
        ["engine::Engine has methods in 2 files: engine/mod.rs engine/more.rs"]
    );
}
