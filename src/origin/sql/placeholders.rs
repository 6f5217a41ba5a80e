//! `:name` in a query of the configuration: found by a small lexer, and bound, never pasted.
//!
//! The lexer knows what may hold a colon without meaning a value: strings, quoted identifiers, comments and casts
//! (`x::text`), as the database in question writes them ([`Lexis`]). It knows nothing else of SQL. Other ways to name a value
//! (`?`, `@name`, `$name`) are refused, for the database would take them as null.

use std::ops::Range;

/// The differences in writing between databases.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexis {
    /// `[a b]` is an identifier; else brackets are what they look like.
    pub brackets_quote: bool,
    /// `\'` does not end a string: in every string, or in those that begin with `E`.
    pub backslashes: Backslashes,
    /// `$$…$$` and `$tag$…$tag$` are strings, and `$1` would be taken for a value of ours.
    pub dollar_quotes: bool,
    /// `#` begins a comment.
    pub hash_comments: bool,
    /// `?` and `@name` would be taken for values; else they are operators.
    pub foreign_values: bool,
}

/// In which strings a backslash escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backslashes {
    Nowhere,
    /// `E'…'`
    AfterE,
    Everywhere,
}

impl Lexis {
    pub(super) const SQLITE: Self = Self {
        brackets_quote: true,
        backslashes: Backslashes::Nowhere,
        dollar_quotes: false,
        hash_comments: false,
        foreign_values: true,
    };
    pub(super) const POSTGRES: Self = Self {
        brackets_quote: false,
        backslashes: Backslashes::AfterE,
        dollar_quotes: true,
        hash_comments: false,
        foreign_values: false,
    };
    pub(super) const MYSQL: Self = Self {
        brackets_quote: false,
        backslashes: Backslashes::Everywhere,
        dollar_quotes: false,
        hash_comments: true,
        foreign_values: true,
    };
}

/// A query, cut at its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CutQuery<'q> {
    pub pieces: Vec<QueryPiece<'q>>,
}

/// A part of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueryPiece<'q> {
    /// As it stands.
    Sql(&'q str),
    /// A value, by its name: `category`, or a variant's property, `store.website`.
    Value(&'q str),
    /// A variant's property that stands for an identifier: `store.table`.
    Identifier(&'q str),
}

/// Why a text is not one query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum InvalidQuery {
    #[error("`{0}` is opened and never closed")]
    Unclosed(&'static str),
    #[error("a second statement stands behind `;`")]
    TwoStatements,
    #[error("`{0}` cannot be bound: a value is named as in `:category`")]
    ForeignPlaceholder(String),
    #[error("the query is empty")]
    Empty,
}

impl<'q> CutQuery<'q> {
    /// Cuts a query; a `;` at its end is left out.
    pub(super) fn parse(lexis: Lexis, sql: &'q str) -> Result<Self, InvalidQuery> {
        let mut lexer = Lexer { lexis, sql, at: 0 };
        let mut pieces = Vec::new();
        let mut from = 0;
        let mut end = None;
        let mut empty = true;
        while let Some((token, range)) = lexer.next()? {
            match token {
                Token::Blank => continue,
                Token::Semicolon => {
                    end = end.or(Some(range.start));
                    continue;
                }
                Token::Foreign => return Err(InvalidQuery::ForeignPlaceholder(sql[range].to_owned())),
                Token::Value => {
                    pieces.push(QueryPiece::Sql(&sql[from..range.start]));
                    pieces.push(QueryPiece::Value(&sql[range.start + 1..range.end]));
                    from = range.end;
                }
                Token::Identifier => {
                    pieces.push(QueryPiece::Sql(&sql[from..range.start]));
                    pieces.push(QueryPiece::Identifier(&sql[range.start + 1..range.end - 1]));
                    from = range.end;
                }
                Token::Other => {}
            }
            if end.is_some() {
                return Err(InvalidQuery::TwoStatements);
            }
            empty = false;
        }
        if empty {
            return Err(InvalidQuery::Empty);
        }
        pieces.push(QueryPiece::Sql(&sql[from..end.unwrap_or(sql.len())]));
        Ok(Self { pieces })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token {
    /// Space and comments.
    Blank,
    Semicolon,
    Value,
    /// A property in braces.
    Identifier,
    /// A placeholder of another kind.
    Foreign,
    Other,
}

struct Lexer<'q> {
    lexis: Lexis,
    sql: &'q str,
    at: usize,
}

impl Lexer<'_> {
    fn next(&mut self) -> Result<Option<(Token, Range<usize>)>, InvalidQuery> {
        let start = self.at;
        let rest = &self.sql[start..];
        let Some(first) = rest.chars().next() else {
            return Ok(None);
        };
        let lexis = self.lexis;
        let escapes = lexis.backslashes == Backslashes::Everywhere;
        let (token, len) = match first {
            _ if first.is_whitespace() => (Token::Blank, first.len_utf8()),
            '-' if rest.starts_with("--") => (Token::Blank, line(rest)),
            '#' if lexis.hash_comments => (Token::Blank, line(rest)),
            '/' if rest.starts_with("/*") => (Token::Blank, closed(rest, "/*", "*/")?),
            'e' | 'E' if lexis.backslashes == Backslashes::AfterE && rest[1..].starts_with('\'') => {
                (Token::Other, 1 + escaped(&rest[1..], "'")?)
            }
            '\'' if escapes => (Token::Other, escaped(rest, "'")?),
            '"' if escapes => (Token::Other, escaped(rest, "\"")?),
            '\'' => (Token::Other, closed(rest, "'", "'")?),
            '"' => (Token::Other, closed(rest, "\"", "\"")?),
            '`' => (Token::Other, closed(rest, "`", "`")?),
            '[' if lexis.brackets_quote => (Token::Other, closed(rest, "[", "]")?),
            ';' => (Token::Semicolon, 1),
            ':' if rest.starts_with("::") => (Token::Other, 2),
            ':' if word(&rest[1..]) > 0 => (Token::Value, 1 + dotted(&rest[1..])),
            '{' if is_property(&rest[1..]) => (Token::Identifier, 1 + dotted(&rest[1..]) + 1),
            '$' if lexis.dollar_quotes => dollar(rest)?,
            '?' if lexis.foreign_values => (Token::Foreign, 1),
            '@' if !lexis.foreign_values => (Token::Other, 1),
            '@' | '$' if word(&rest[1..]) > 0 => (Token::Foreign, 1 + word(&rest[1..])),
            // A word is taken whole: `a$b` is one, and holds no placeholder.
            _ if first.is_alphanumeric() || first == '_' => (Token::Other, identifier(rest)),
            _ => (Token::Other, first.len_utf8()),
        };
        self.at = start + len;
        Ok(Some((token, start..self.at)))
    }
}

/// The length of what begins with `open`, to its first `close`. A doubled quote closes and opens again: the same in the end.
fn closed(rest: &str, open: &'static str, close: &str) -> Result<usize, InvalidQuery> {
    let inside = &rest[open.len()..];
    let end = inside.find(close).ok_or(InvalidQuery::Unclosed(open))?;
    Ok(open.len() + end + close.len())
}

/// The length of a comment that ends with its line.
fn line(rest: &str) -> usize {
    rest.find('\n').unwrap_or(rest.len())
}

/// The length of a string in which a backslash takes the next character's meaning.
fn escaped(rest: &str, quote: &'static str) -> Result<usize, InvalidQuery> {
    let mut at = quote.len();
    loop {
        let found = rest[at..]
            .find(['\\', '\'', '"'])
            .ok_or(InvalidQuery::Unclosed(quote))?;
        at += found;
        if rest[at..].starts_with('\\') {
            at += 1 + rest[at + 1..].chars().next().map_or(0, char::len_utf8);
        } else if rest[at..].starts_with(quote) {
            return Ok(at + quote.len());
        } else {
            at += 1;
        }
    }
}

/// The meaning of a dollar: a string, or a placeholder, which are numbered here and not in the configuration.
fn dollar(rest: &str) -> Result<(Token, usize), InvalidQuery> {
    let digits = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 {
        return Ok((Token::Foreign, 1 + digits));
    }
    let tag = 1 + word(&rest[1..]);
    if !rest[tag..].starts_with('$') {
        return Ok((Token::Other, tag));
    }
    let (opening, inside) = rest.split_at(tag + 1);
    let end = inside.find(opening).ok_or(InvalidQuery::Unclosed("$$"))?;
    Ok((Token::Other, 2 * opening.len() + end))
}

/// The length of the name that a text begins with: `[A-Za-z_][A-Za-z0-9_]*`.
fn word(text: &str) -> usize {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count()
}

/// The length of a name, with that of a property behind a point.
fn dotted(text: &str) -> usize {
    let name = word(text);
    match text[name..].strip_prefix('.').map(word) {
        Some(property @ 1..) => name + 1 + property,
        _ => name,
    }
}

/// Whether a text begins with a property and a closing brace: `store.table}`. Other braces are the database's.
fn is_property(text: &str) -> bool {
    let (name, property) = (word(text), dotted(text));
    name > 0 && property > name && text[property..].starts_with('}')
}

fn identifier(rest: &str) -> usize {
    rest.find(|one: char| !(one.is_alphanumeric() || one == '_' || one == '$'))
        .unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The query with each value in braces.
    #[track_caller]
    fn check(sql: &str, expect: Result<&str, InvalidQuery>) {
        check_in(Lexis::SQLITE, sql, expect);
    }

    #[track_caller]
    fn check_in(lexis: Lexis, sql: &str, expect: Result<&str, InvalidQuery>) {
        let marked = CutQuery::parse(lexis, sql).map(|query| {
            let pieces = query.pieces.iter().map(|piece| match piece {
                QueryPiece::Sql(sql) => (*sql).to_owned(),
                QueryPiece::Value(name) => format!("{{{name}}}"),
                QueryPiece::Identifier(name) => format!("<{name}>"),
            });
            pieces.collect::<String>()
        });
        assert_eq!(marked.as_deref(), expect.as_ref().map(|text| *text), "{sql}");
    }

    #[test]
    fn values_are_found() {
        check("select 1", Ok("select 1"));
        check("a = :a and b=:b_2", Ok("a = {a} and b={b_2}"));
        check(":a", Ok("{a}"));
        check("(:a,:a)", Ok("({a},{a})"));
        check("é = :a é", Ok("é = {a} é"));
    }

    #[test]
    fn properties_of_variants_are_values_or_identifiers() {
        check("a = :store.website and b = :b", Ok("a = {store.website} and b = {b}"));
        check("from {store.table} t", Ok("from <store.table> t"));
        check("from index_{store.number}", Ok("from index_<store.number>"));
        check(
            "'{store.table}', \"{store.table}\"",
            Ok("'{store.table}', \"{store.table}\""),
        );
        for same in ["{a}", "{a.b", "{a.}", "{d '2020-01-01'}", "{a b.c}"] {
            check(same, Ok(same));
        }
        check(":a.", Ok("{a}."));
    }

    #[test]
    fn what_only_looks_like_a_value_is_left() {
        for same in [
            "select ':a', 'it''s :a'",
            "select \":a\", `:a`, [:a]",
            "select 1 -- :a ' \n from t",
            "select /* :a ' ; */ 1",
            "select x::text, '{}'::json",
            "select a - -1, a / 2, a : 1, a :1",
            "select a$b, a@>b",
        ] {
            check(same, Ok(same));
        }
        check("select x::text = :x", Ok("select x::text = {x}"));
        check("select 'a' -- it's\n, :b", Ok("select 'a' -- it's\n, {b}"));
    }

    #[test]
    fn a_semicolon_may_end_the_query_and_nothing_may_follow() {
        check("select 1;", Ok("select 1"));
        check("select :a ; -- done\n ;", Ok("select {a} "));
        check("select ';'", Ok("select ';'"));
        check("select 1; drop table t", Err(InvalidQuery::TwoStatements));
        check("select 1; :a", Err(InvalidQuery::TwoStatements));
    }

    #[test]
    fn a_broken_query_says_why() {
        check("", Err(InvalidQuery::Empty));
        check(" ; -- x", Err(InvalidQuery::Empty));
        check("select 'a", Err(InvalidQuery::Unclosed("'")));
        check("select [a", Err(InvalidQuery::Unclosed("[")));
        check("select /* a", Err(InvalidQuery::Unclosed("/*")));
        check("a = ?", Err(InvalidQuery::ForeignPlaceholder("?".to_owned())));
        check("a = @name", Err(InvalidQuery::ForeignPlaceholder("@name".to_owned())));
        check("a = $1", Ok("a = $1"));
        check("a = $name", Err(InvalidQuery::ForeignPlaceholder("$name".to_owned())));
    }

    #[test]
    fn postgresql_has_strings_and_operators_of_its_own() {
        for same in [
            "select 'a\\'",
            "select e'it\\'s :a', E'\\\\'",
            "select $$it's :a$$, $t$ $$ :a $t$",
            "select a ? 'b', a @> b, @ -1, a ?| b, @x",
            "select a[1], a$b",
        ] {
            check_in(Lexis::POSTGRES, same, Ok(same));
        }
        check_in(
            Lexis::POSTGRES,
            "a = any(array[:a, :b])",
            Ok("a = any(array[{a}, {b}])"),
        );
        check_in(Lexis::POSTGRES, "e'\\'' || :a", Ok("e'\\'' || {a}"));
        check_in(
            Lexis::POSTGRES,
            "a = $1",
            Err(InvalidQuery::ForeignPlaceholder("$1".to_owned())),
        );
        check_in(Lexis::POSTGRES, "select $$a", Err(InvalidQuery::Unclosed("$$")));
        check_in(Lexis::POSTGRES, "select e'a\\'", Err(InvalidQuery::Unclosed("'")));
    }

    #[test]
    fn mysql_has_backslashes_and_comments_of_its_own() {
        for same in ["select 'it\\'s :a', \"\\\":a\" # :b '", "select 'it''s :a \" ', `:a`"] {
            check_in(Lexis::MYSQL, same, Ok(same));
        }
        check_in(Lexis::MYSQL, "'\\\\' = :a", Ok("'\\\\' = {a}"));
        check_in(
            Lexis::MYSQL,
            "a = ?",
            Err(InvalidQuery::ForeignPlaceholder("?".to_owned())),
        );
        check_in(
            Lexis::MYSQL,
            "a = @a",
            Err(InvalidQuery::ForeignPlaceholder("@a".to_owned())),
        );
    }
}
