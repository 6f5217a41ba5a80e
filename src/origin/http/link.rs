//! The header `Link` (RFC 8288): `<https://api/products?page=2>; rel="next"`.
//!
//! Read more generously than the grammar, because a header that is not understood hides the next page: values may stand
//! in single quotes, and a title may hold any text. A header that still cannot be read is an error, never "no next page".

/// A header `Link` that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UnreadableLink;

/// The target of the first link with the relation `next`, among the header's lines.
pub(super) fn next_link<'h>(lines: impl Iterator<Item = &'h [u8]>) -> Result<Option<String>, UnreadableLink> {
    let mut unreadable = false;
    for line in lines {
        // A title may be in Latin-1. A target must not be: its bytes are unknown then.
        match NextLinks(&String::from_utf8_lossy(line)).next() {
            Ok(None) => {}
            Ok(Some(target)) if target.contains(char::REPLACEMENT_CHARACTER) => unreadable = true,
            Ok(Some(target)) => return Ok(Some(target.trim().to_owned())),
            Err(UnreadableLink) => unreadable = true,
        }
    }
    if unreadable { Err(UnreadableLink) } else { Ok(None) }
}

/// The unread rest of a line.
struct NextLinks<'h>(&'h str);

impl<'h> NextLinks<'h> {
    /// The target of the next link that has the relation `next`.
    fn next(&mut self) -> Result<Option<&'h str>, UnreadableLink> {
        loop {
            self.skip(&[',']);
            if self.0.is_empty() {
                return Ok(None);
            }
            let opened = self.0.strip_prefix('<').ok_or(UnreadableLink)?;
            let (target, rest) = opened.split_once('>').ok_or(UnreadableLink)?;
            self.0 = rest;
            if self.is_next()? {
                return Ok(Some(target));
            }
        }
    }

    /// Reads a link's parameters: whether `next` is among its relations. A second `rel` does not count.
    fn is_next(&mut self) -> Result<bool, UnreadableLink> {
        let mut relations: Option<&str> = None;
        loop {
            self.skip(&[]);
            if self.0.is_empty() || self.0.starts_with(',') {
                let mut relations = relations.unwrap_or_default().split_whitespace();
                return Ok(relations.any(|one: &str| one.eq_ignore_ascii_case("next")));
            }
            if !self.0.starts_with(';') {
                return Err(UnreadableLink);
            }
            self.skip(&[';']);
            let name = self.up_to(&['=', ';', ',']).trim();
            let value = match self.0.strip_prefix('=') {
                Some(rest) => {
                    self.0 = rest;
                    self.value()?
                }
                None => "",
            };
            if name.eq_ignore_ascii_case("rel") && relations.is_none() {
                relations = Some(value);
            }
        }
    }

    fn value(&mut self) -> Result<&'h str, UnreadableLink> {
        self.skip(&[]);
        if let Some(opened) = self.0.strip_prefix('"') {
            let mut escaped = false;
            let end = opened.find(|letter| {
                let is_end = letter == '"' && !escaped;
                escaped = letter == '\\' && !escaped;
                is_end
            });
            return Ok(self.cut(opened, end.ok_or(UnreadableLink)?));
        }
        // Single quotes are no quotes to the RFC, where an apostrophe may begin a bare word. They count where they close.
        if let Some(opened) = self.0.strip_prefix('\'') {
            let closes = opened.match_indices('\'').find(|(at, _)| {
                let after = opened.get(at + 1..).unwrap_or_default().trim_start();
                after.is_empty() || after.starts_with([';', ','])
            });
            if let Some((end, _)) = closes {
                let value = self.cut(opened, end);
                // Another parameter seems to begin inside: which one closes is not known.
                return if value.contains("='") {
                    Err(UnreadableLink)
                } else {
                    Ok(value)
                };
            }
        }
        Ok(self.up_to(&[';', ',']).trim())
    }

    /// The text before a closing quote.
    fn cut(&mut self, opened: &'h str, end: usize) -> &'h str {
        let (value, rest) = opened.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        value
    }

    fn up_to(&mut self, ends: &[char]) -> &'h str {
        let (value, rest) = self.0.split_at(self.0.find(ends).unwrap_or(self.0.len()));
        self.0 = rest;
        value
    }

    /// Skips white space and some separators.
    fn skip(&mut self, separators: &[char]) {
        self.0 = self
            .0
            .trim_start_matches(|letter: char| letter.is_whitespace() || separators.contains(&letter));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(header: &str, expect: Result<Option<&str>, UnreadableLink>) {
        let found = next_link([header.as_bytes()].into_iter());
        assert_eq!(
            found.as_ref().map(Option::as_deref),
            expect.as_ref().copied(),
            "{header}"
        );
    }

    proptest! {
        #[test]
        fn any_title_leaves_the_next_page_where_it_is(title in "[^\"\\\\\r\n]{0,30}") {
            let header = format!("</1>; rel=prev; title=\"{title}\", </2>; title*=x; title=\"{title}\"; rel=next");
            prop_assert_eq!(next_link([header.as_bytes()].into_iter()), Ok(Some("/2".to_owned())));
        }

        #[test]
        fn any_header_is_read_to_its_end(header in "[<>;,='\"\\\\ relnxtö]{0,60}") {
            let _ = next_link([header.as_bytes()].into_iter());
        }
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        check("</a?page=2>; rel=\"next\"", Ok(Some("/a?page=2")));
        check("</a>; rel=next", Ok(Some("/a")));
        check("< /a > ;; REL = next ;", Ok(Some("/a")));
        check(
            "<https://x/1>; rel=\"first\", <https://x/3?a,b;c>; title=\"a, <b>; rel=\\\"x\"; REL=\"last Next\"",
            Ok(Some("https://x/3?a,b;c")),
        );
        check("</1>; rel=prev, </2>; title=\"rel=next\", </3>; rel=last,", Ok(None));
        check("</1>; rev=next, </2>; rel=prev; rel=next, </3>; rel, </4>", Ok(None));
        check("", Ok(None));
    }

    #[test]
    fn titles_and_quotes_of_any_kind_are_read() {
        check("</1>; title=\"Öl & Brot, 1 €\"; rel=\"next\"", Ok(Some("/1")));
        check("</1>; rel='prev', </2>; title='it''s, new'; rel='next'", Ok(Some("/2")));
        check("</1>; title=it's; rel=prev, </2>; title='tis; rel=next", Ok(Some("/2")));
        let latin_1: &[u8] = b"</1>; title=\"\xd6l\"; rel=next";
        assert_eq!(next_link([latin_1].into_iter()), Ok(Some("/1".to_owned())));
        check("</b/\u{f6}l?page=2>; rel=next", Ok(Some("/b/\u{f6}l?page=2")));
    }

    #[test]
    fn a_header_that_cannot_be_read_is_not_the_last_page() {
        for broken in [
            "next",
            "</1; rel=next",
            "</1> rel=next",
            "</1>; title=\"open; rel=next",
            "</1>; title='a, b; rel=next",
            "</1>; title='tis; rel='next'",
            "/2; rel=next",
            "</1>; rel=prev, 2>; rel=next",
        ] {
            check(broken, Err(UnreadableLink));
        }
        let unknown_target: &[u8] = b"</\xd6l>; rel=next";
        assert_eq!(next_link([unknown_target].into_iter()), Err(UnreadableLink));
        // One line that is understood is enough.
        let lines: [&[u8]; 2] = [b"</1; x", b"</2>; rel=next"];
        assert_eq!(next_link(lines.into_iter()), Ok(Some("/2".to_owned())));
    }
}
