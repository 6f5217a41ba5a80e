//! One file's items: what it imports, defines, and names by paths, and the methods that it gives to types.

use std::collections::BTreeSet;

use super::tokens::{Token, attribute_end, group_end, item_end, tokens};

/// `a::b::c` with its line.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
}

/// One name that a `use` brings in.
#[derive(Clone, Debug)]
pub(super) struct Import {
    /// `*` for all that is there.
    pub(super) name: String,
    pub(super) from: Named,
    /// Others may use it from here.
    pub(super) is_public: bool,
}

#[derive(Debug)]
pub(super) struct Implementation {
    pub(super) of: Vec<String>,
    pub(super) is_inherent: bool,
    pub(super) methods: Vec<Method>,
}

#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: String,
    /// The methods that it calls on itself, or on a copy of itself.
    pub(super) calls: Vec<Named>,
}

#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) imports: Vec<Import>,
    pub(super) defined: Vec<String>,
    /// The modules that are declared here.
    pub(super) modules: Vec<String>,
    pub(super) paths: Vec<Named>,
    /// All names that stand in items other than imports.
    pub(super) names: BTreeSet<String>,
    pub(super) implementations: Vec<Implementation>,
    /// Structs with how many fields each has.
    pub(super) structs: Vec<(String, usize)>,
}

impl Items {
    pub(super) fn of(code: &str) -> Self {
        let mut items = Self::default();
        let tokens = tokens(code);
        let mut at = 0;
        while at < tokens.len() {
            if let Some(end) = attribute_end(&tokens, at) {
                items.read_paths(&tokens[at..end]);
                at = end;
                continue;
            }
            let end = item_end(&tokens, at).max(at + 1);
            items.read(&tokens[at..end]);
            at = end;
        }
        items
    }

    /// Only declares and re-exports.
    pub(super) fn is_a_list(&self) -> bool {
        self.defined.is_empty() && self.implementations.is_empty()
    }

    fn read(&mut self, item: &[Token]) {
        let words = [
            "use",
            "mod",
            "impl",
            "fn",
            "struct",
            "enum",
            "trait",
            "type",
            "static",
            "const",
            "macro_rules",
        ];
        let Some(at) = item.iter().position(|token| words.contains(&token.text)) else {
            // A macro is called.
            self.defined.push("!".to_owned());
            return self.read_paths(item);
        };
        let name = |at: usize| item.get(at).map_or(String::new(), |token| token.text.to_owned());
        match item[at].text {
            "use" => self.read_use(&item[at + 1..], item[0].text == "pub"),
            "mod" => self.modules.push(name(at + 1)),
            "impl" => self.read_impl(&item[at..]),
            "macro_rules" => self.defined.push(name(at + 2)),
            kind => {
                let is_function = kind == "const" && ["fn", "async", "unsafe"].contains(&name(at + 1).as_str());
                let at = if is_function {
                    item.iter().position(|token| token.text == "fn").unwrap_or(at)
                } else {
                    at
                };
                self.defined.push(name(at + 1));
                if kind == "struct" {
                    self.structs.push((name(at + 1), fields(item)));
                }
            }
        }
        if !["use", "mod", "macro_rules"].contains(&item[at].text) {
            self.read_paths(item);
        }
    }

    fn read_use(&mut self, tree: &[Token], is_public: bool) {
        let tree = match tree.last() {
            Some(last) if last.text == ";" => &tree[..tree.len() - 1],
            _ => tree,
        };
        for (path, name, line) in leaves(tree) {
            let from = Named { path, line };
            self.imports.push(Import { name, from, is_public });
        }
    }

    fn read_impl(&mut self, item: &[Token]) {
        let Some(open) = item.iter().position(|token| token.text == "{") else {
            return;
        };
        let mut head = after_generics(&item[1..open]);
        let is_inherent = !head.iter().any(|token| token.text == "for");
        if let Some(at) = head.iter().position(|token| token.text == "for") {
            head = &head[at + 1..];
        }
        let start = head.iter().position(Token::is_name).unwrap_or(0);
        let of = path_at(&head[start..]).0;
        let mut methods = Vec::new();
        let body = &item[open + 1..item.len() - 1];
        let mut at = 0;
        while at < body.len() {
            if let Some(end) = attribute_end(body, at) {
                at = end;
                continue;
            }
            let end = item_end(body, at).max(at + 1);
            let method = &body[at..end];
            if let Some(at) = method.iter().position(|token| token.text == "fn") {
                methods.push(Method {
                    name: method[at + 1].text.to_owned(),
                    calls: calls_of_itself(method),
                });
            }
            at = end;
        }
        self.implementations.push(Implementation {
            of,
            is_inherent,
            methods,
        });
    }

    fn read_paths(&mut self, tokens: &[Token]) {
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            if token.is_name() {
                self.names.insert(token.text.to_owned());
            }
            let before = at.checked_sub(1).map_or("", |before| tokens[before].text);
            let next = tokens.get(at + 1).map_or("", |next| next.text);
            // `pub(in path)` names whom it is shown to.
            let is_shown_to = before == "in" && at > 1 && tokens[at - 2].text == "(";
            if token.text == "use" && next != "<" {
                let end = item_end(tokens, at);
                self.read_use(&tokens[at + 1..end], false);
                at = end;
            } else if token.is_name() && next == "::" && before != "::" && before != "." && !is_shown_to {
                let (path, length) = path_at(&tokens[at..]);
                let line = token.line;
                self.paths.push(Named { path, line });
                at += length;
            } else {
                at += 1;
            }
        }
    }
}

/// The path that begins here, and how many tokens it takes.
fn path_at(tokens: &[Token]) -> (Vec<String>, usize) {
    let mut path = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at).filter(|token| token.is_name()) {
        path.push(token.text.to_owned());
        if tokens.get(at + 1).is_none_or(|next| next.text != "::") {
            return (path, at + 1);
        }
        at += 2;
    }
    (path, at.max(1))
}

/// Each leaf of a tree of imports: its whole path, the name that it has here, its line.
fn leaves(tree: &[Token]) -> Vec<(Vec<String>, String, usize)> {
    let mut path = Vec::new();
    for (at, token) in tree.iter().enumerate() {
        match token.text {
            "::" => {}
            "{" => {
                let inside = &tree[at + 1..group_end(tree, at) - 1];
                return split(inside)
                    .into_iter()
                    .flat_map(leaves)
                    .map(|(rest, name, line)| {
                        let name = if rest == ["self"] && name == "self" {
                            path.last().cloned().unwrap_or(name)
                        } else {
                            name
                        };
                        let rest = rest.into_iter().filter(|part| path.is_empty() || part != "self");
                        (path.iter().cloned().chain(rest).collect(), name, line)
                    })
                    .collect();
            }
            "as" => {
                let name = tree[at + 1].text.to_owned();
                return vec![(path, name, token.line)];
            }
            "*" => return vec![(path, "*".to_owned(), token.line)],
            name => path.push(name.to_owned()),
        }
    }
    let (Some(name), Some(last)) = (path.last().cloned(), tree.last()) else {
        return Vec::new();
    };
    vec![(path, name, last.line)]
}

/// Parts between commas that stand in no brackets.
fn split<'t, 'a>(tokens: &'t [Token<'a>]) -> Vec<&'t [Token<'a>]> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < tokens.len() {
        match tokens[at].text {
            "(" | "[" | "{" => at = group_end(tokens, at),
            "," => {
                parts.push(&tokens[start..at]);
                at += 1;
                start = at;
            }
            _ => at += 1,
        }
    }
    parts.push(&tokens[start..]);
    parts.retain(|part| !part.is_empty());
    parts
}

fn after_generics<'t, 'a>(tokens: &'t [Token<'a>]) -> &'t [Token<'a>] {
    if tokens.first().is_none_or(|token| token.text != "<") {
        return tokens;
    }
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "<" => depth += 1,
            ">" if at > 0 && tokens[at - 1].text != "-" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &tokens[at + 1..];
        }
    }
    &[]
}

/// How many fields the struct has.
fn fields(item: &[Token]) -> usize {
    let Some(open) = item.iter().position(|token| ["{", "(", ";"].contains(&token.text)) else {
        return 0;
    };
    if item[open].text == ";" {
        return 0;
    }
    let inside = &item[open + 1..group_end(item, open) - 1];
    if item[open].text == "(" {
        return split(inside).len();
    }
    let mut fields = 0;
    let mut at = 0;
    while at < inside.len() {
        match inside[at].text {
            "(" | "[" | "{" => at = group_end(inside, at),
            ":" => {
                fields += 1;
                at += 1;
            }
            _ => at += 1,
        }
    }
    fields
}

/// `self.name(…)`, `Self::name(…)`, and `other.name(…)` where the method makes copies of itself.
fn calls_of_itself(method: &[Token]) -> Vec<Named> {
    let texts: Vec<_> = method.iter().map(|token| token.text).collect();
    let copies = texts.windows(3).any(|three| three == ["self", ".", "clone"])
        || texts.windows(3).any(|three| three == ["clone", "(", "self"]);
    let mut calls = Vec::new();
    for at in 0..texts.len().saturating_sub(3) {
        let is_call = texts[at + 3] == "(" || texts[at + 3] == "::";
        let before = at.checked_sub(1).map_or("", |before| texts[before]);
        let on_itself =
            texts[at + 1] == "." && before != "." && (texts[at] == "self" || (copies && method[at].is_name()));
        let of_its_type = texts[at] == "Self" && texts[at + 1] == "::";
        if is_call && (on_itself || of_its_type) {
            calls.push(Named {
                path: vec![texts[at + 2].to_owned()],
                line: method[at + 2].line,
            });
        }
    }
    calls
}
