//! Rust's text as words and signs with their lines, without comments and without the code of unit tests.

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Token<'a> {
    /// A word, a number, a lifetime, `::`, one sign, or a whole literal with its quotes.
    pub(crate) text: &'a str,
    pub(crate) line: usize,
}

impl Token<'_> {
    pub(crate) fn is_name(&self) -> bool {
        self.text
            .starts_with(|letter: char| letter.is_alphabetic() || letter == '_')
            && !self.text.ends_with(['"', '\'', '#'])
    }
}

/// All tokens that are not of tests.
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    without_tests(&all_tokens(code))
}

pub(crate) fn all_tokens(code: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(first) = code[at..].chars().next() {
        let rest = &code[at..];
        let length = if first.is_whitespace() {
            first.len_utf8()
        } else if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else {
            let length = literal(rest)
                .or_else(|| word(rest))
                .unwrap_or_else(|| if rest.starts_with("::") { 2 } else { first.len_utf8() });
            tokens.push(Token {
                text: &rest[..length],
                line,
            });
            length
        };
        line += rest[..length].matches('\n').count();
        at += length;
    }
    tokens
}

/// The length of a word, a number or a lifetime.
fn word(rest: &str) -> Option<usize> {
    let start = usize::from(rest.starts_with('\''));
    let is_end = |letter: char| !(letter.is_alphanumeric() || letter == '_');
    let end = rest[start..].find(is_end).map_or(rest.len(), |end| start + end);
    (end > start).then_some(end)
}

/// The length of a text or a letter between quotes.
fn literal(rest: &str) -> Option<usize> {
    let body = rest.trim_start_matches(['b', 'c', 'r']);
    let prefix = rest.len() - body.len();
    if prefix > 2 {
        return None;
    }
    if rest[..prefix].contains('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let end = format!("\"{}", "#".repeat(hashes));
        let inside = body[hashes..].strip_prefix('"')?;
        return Some(prefix + hashes + 1 + inside.find(&end)? + end.len());
    }
    let quote = body.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let mut letters = body.char_indices().skip(1);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if letter == quote {
            return Some(prefix + at + 1);
        }
        // A lifetime: its second letter is no quote.
        let is_one_letter = || body[1..].starts_with('\\') || body.chars().nth(2) == Some('\'');
        if quote == '\'' && !is_one_letter() {
            return None;
        }
    }
    None
}

/// Leaves out what is compiled for tests only.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if let Some(end) = attribute_end(tokens, at)
            && is_for_tests(&tokens[at..end])
        {
            at = item_end(tokens, end);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

fn is_for_tests(attribute: &[Token]) -> bool {
    let has = |word: &str| attribute.iter().any(|token| token.text == word);
    has("cfg") && has("test") && !has("not")
}

/// Where the attribute ends that begins here.
pub(crate) fn attribute_end(tokens: &[Token], at: usize) -> Option<usize> {
    if tokens.get(at)?.text != "#" {
        return None;
    }
    let open = if tokens.get(at + 1)?.text == "!" {
        at + 2
    } else {
        at + 1
    };
    (tokens.get(open)?.text == "[").then(|| group_end(tokens, open))
}

/// After the bracket that closes the one that stands here.
pub(crate) fn group_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// After the item, field, arm or statement that begins here.
pub(crate) fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut at = start;
    while let Some(end) = attribute_end(tokens, at) {
        at = end;
    }
    if tokens.get(at).is_some_and(|token| token.text == "pub") {
        at += 1;
        if tokens.get(at).is_some_and(|token| token.text == "(") {
            at = group_end(tokens, at);
        }
    }
    let first = tokens.get(at).map_or("", |token| token.text);
    let is_constant = first == "const" && tokens.get(at + 2).is_some_and(|token| token.text == ":");
    let ends_with_braces = !(is_constant || ["use", "let", "static", "type"].contains(&first));
    let is_item = [
        "async",
        "const",
        "enum",
        "extern",
        "fn",
        "impl",
        "let",
        "macro_rules",
        "mod",
        "static",
        "struct",
        "trait",
        "type",
        "unsafe",
        "use",
    ]
    .contains(&first);
    while let Some(token) = tokens.get(at) {
        match token.text {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            ")" | "]" | "}" => return at,
            "{" if ends_with_braces => return group_end(tokens, at),
            "(" | "[" | "{" => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}
