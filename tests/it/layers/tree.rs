//! All files of `src` with the arrows between them. An arrow goes to the file that defines what is used, through re-exports.

use std::collections::{BTreeMap, BTreeSet};

use super::items::{Implementation, Import, Items};

pub(super) struct Tree {
    pub(super) files: Vec<File>,
    /// The place in `files` of each module, by its path: `engine::l1`, nothing for the crate.
    modules: BTreeMap<String, usize>,
    /// The files that hold each inherent method: `engine::l1::L1::new`.
    methods: BTreeMap<String, Vec<usize>>,
}

pub(super) struct File {
    /// Below `src`, with `/`.
    pub(super) path: String,
    pub(super) module: String,
    pub(super) items: Items,
}

/// One file uses what another defines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) line: usize,
    /// What is used.
    pub(super) what: String,
    pub(super) is_call: bool,
}

/// Where a path leads.
struct Target {
    file: usize,
    /// `None` for the module itself.
    name: Option<String>,
    /// What stands after the name: a method, a variant.
    rest: Vec<String>,
}

impl Tree {
    /// Files that are compiled for tests alone are left out: their parents do not declare them.
    pub(super) fn new<'a>(sources: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let read = sources.into_iter().map(|(path, code)| File {
            path: path.to_owned(),
            module: module_of(path),
            items: Items::of(code),
        });
        let mut files: Vec<_> = read.collect();
        files.sort_by(|one, other| one.module.cmp(&other.module));
        let mut declared: BTreeSet<String> = BTreeSet::new();
        // Parents stand before their children.
        files.retain(|file| {
            let parent = parent_of(&file.module);
            let is_known = parent.is_none_or(|parent| parent.is_empty() || declared.contains(parent))
                && (parent.is_none_or(str::is_empty) || declared.contains(&format!("{}?", file.module)));
            if is_known {
                declared.insert(file.module.clone());
                let children = file.items.modules.iter();
                declared.extend(children.map(|child| format!("{}?", joined(&file.module, child))));
            }
            is_known
        });
        let modules = files.iter().enumerate().map(|(at, file)| (file.module.clone(), at));
        let mut tree = Self {
            modules: modules.collect(),
            methods: BTreeMap::new(),
            files,
        };
        tree.find_methods();
        tree
    }

    pub(super) fn place(&self, file: usize, line: usize) -> String {
        format!("src/{}:{line}", self.files[file].path)
    }

    /// All arrows between different files. A re-export is none, unless the file uses the name itself.
    pub(super) fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = BTreeSet::new();
        for (from, file) in self.files.iter().enumerate() {
            let is_used = |import: &&Import| !import.is_public || file.items.names.contains(&import.name);
            let imports = file.items.imports.iter().filter(is_used).map(|import| &import.from);
            for named in imports.chain(&file.items.paths) {
                let Some(target) = self.resolve(&file.module, &named.path, 0) else {
                    continue;
                };
                let mut add = |to, what: String, is_call| {
                    if to != from {
                        let line = named.line;
                        arrows.insert(Arrow {
                            from,
                            to,
                            line,
                            what,
                            is_call,
                        });
                    }
                };
                if let (Some(name), Some(method)) = (&target.name, target.rest.first()) {
                    let module = &self.files[target.file].module;
                    for to in self.files_with(&joined(module, name), method) {
                        add(*to, format!("{name}::{method}"), true);
                    }
                }
                let is_list = target.name.is_none() && self.files[target.file].items.is_a_list();
                if !is_list {
                    let what = target.name.unwrap_or_else(|| self.files[target.file].module.clone());
                    add(target.file, what, false);
                }
            }
            for implementation in &file.items.implementations {
                self.add_calls(from, implementation, &mut arrows);
            }
        }
        arrows.into_iter().collect()
    }

    /// Calls through `self` to methods that stand in other files.
    fn add_calls(&self, from: usize, implementation: &Implementation, arrows: &mut BTreeSet<Arrow>) {
        let Some(of) = self.type_of(from, &implementation.of) else {
            return;
        };
        for call in implementation.methods.iter().flat_map(|method| &method.calls) {
            let method = &call.path[0];
            let files = self.files_with(&of, method);
            if files.contains(&from) {
                continue;
            }
            for &to in files {
                let line = call.line;
                let what = format!("{}::{method}", implementation.of.join("::"));
                arrows.insert(Arrow {
                    from,
                    to,
                    line,
                    what,
                    is_call: true,
                });
            }
        }
    }

    /// The type's place and name, as `engine::l1::L1`.
    fn type_of(&self, file: usize, path: &[String]) -> Option<String> {
        let target = self.resolve(&self.files[file].module, path, 0)?;
        Some(joined(&self.files[target.file].module, &target.name?))
    }

    /// The files with a method of this name of this type.
    fn files_with(&self, of: &str, method: &str) -> &[usize] {
        self.methods.get(&joined(of, method)).map_or(&[], Vec::as_slice)
    }

    fn find_methods(&mut self) {
        let mut methods: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, of, implementation) in self.inherent() {
            for method in &implementation.methods {
                methods.entry(joined(&of, &method.name)).or_default().push(at);
            }
        }
        self.methods = methods;
    }

    /// Each inherent `impl` with its file and its type.
    fn inherent(&self) -> Vec<(usize, String, &Implementation)> {
        let all = self.files.iter().enumerate();
        let all = all.flat_map(|(at, file)| file.items.implementations.iter().map(move |one| (at, one)));
        let inherent = all.filter(|(_, one)| one.is_inherent);
        inherent
            .filter_map(|(at, one)| Some((at, self.type_of(at, &one.of)?, one)))
            .collect()
    }

    /// Each file with methods of a type, and how many.
    pub(super) fn methods_of(&self, of: &str) -> BTreeMap<usize, usize> {
        let mut files = BTreeMap::new();
        for (at, _, one) in self.inherent().iter().filter(|(_, known, _)| known == of) {
            *files.entry(*at).or_default() += one.methods.len();
        }
        files
    }

    /// The place where a type is defined, for one where it is re-exported.
    pub(super) fn canonical(&self, of: &str) -> String {
        let path: Vec<_> = of.split("::").map(str::to_owned).collect();
        let target = self.resolve("", &path, 0);
        let (file, name) = target
            .and_then(|target| Some((target.file, target.name?)))
            .unwrap_or_else(|| panic!("no {of}"));
        joined(&self.files[file].module, &name)
    }

    /// How many fields a struct has.
    pub(super) fn fields(&self, of: &str) -> Option<usize> {
        let (module, name) = of.rsplit_once("::")?;
        let mut structs = self.files[*self.modules.get(module)?].items.structs.iter();
        structs.find(|(known, _)| known == name).map(|(_, fields)| *fields)
    }

    fn resolve(&self, module: &str, path: &[String], depth: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        if depth > 16 {
            return None;
        }
        match first.as_str() {
            "crate" => self.walk("", rest, depth),
            "self" => self.walk(module, rest, depth),
            "super" => {
                let mut parent = parent_of(module)?;
                let mut rest = rest;
                while rest.first().is_some_and(|part| part == "super") {
                    parent = parent_of(parent)?;
                    rest = &rest[1..];
                }
                self.walk(parent, rest, depth)
            }
            _ => self.step(module, path, depth),
        }
    }

    fn walk(&self, module: &str, path: &[String], depth: usize) -> Option<Target> {
        let file = *self.modules.get(module)?;
        if path.is_empty() {
            let (name, rest) = (None, Vec::new());
            return Some(Target { file, name, rest });
        }
        self.step(module, path, depth).or_else(|| {
            // A macro may make it.
            let (name, rest) = (Some(path[0].clone()), path[1..].to_vec());
            (!self.is_foreign(file, &path[0])).then_some(Target { file, name, rest })
        })
    }

    fn is_foreign(&self, file: usize, name: &str) -> bool {
        self.files[file].items.imports.iter().any(|import| import.name == name)
    }

    /// Looks a path's first name up in a module.
    fn step(&self, module: &str, path: &[String], depth: usize) -> Option<Target> {
        let (name, rest) = path.split_first()?;
        let child = joined(module, name);
        if self.modules.contains_key(&child) {
            return self.walk(&child, rest, depth + 1);
        }
        let file = *self.modules.get(module)?;
        let items = &self.files[file].items;
        if items.defined.contains(name) {
            let (name, rest) = (Some(name.clone()), rest.to_vec());
            return Some(Target { file, name, rest });
        }
        for import in &items.imports {
            // Its own name would lead here again: `use a::a`.
            if import.name == *name && import.from.path != path {
                let longer: Vec<_> = import.from.path.iter().chain(rest).cloned().collect();
                return self.resolve(module, &longer, depth + 1);
            }
            if import.name == "*" && import.from.path.first().is_some_and(|first| first != name) {
                let longer: Vec<_> = import.from.path.iter().chain(path).cloned().collect();
                let found = self.resolve(module, &longer, depth + 1);
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }
}

/// `engine::l1` for `engine/l1/mod.rs`, `engine::l1::shape` for `engine/l1/shape.rs`, nothing for `lib.rs`.
fn module_of(path: &str) -> String {
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" {
        String::new()
    } else {
        path.replace('/', "::")
    }
}

fn parent_of(module: &str) -> Option<&str> {
    (!module.is_empty()).then(|| module.rsplit_once("::").map_or("", |(parent, _)| parent))
}

fn joined(module: &str, name: &str) -> String {
    if module.is_empty() {
        name.to_owned()
    } else {
        format!("{module}::{name}")
    }
}
