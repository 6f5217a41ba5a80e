//! The header `Link` (RFC 8288): `<https://api/products?page=2>; rel="next"`.

/// The target of the first link with the relation `next`.
pub(super) fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, opened) = rest.split_once('<')?;
        let (target, after) = opened.split_once('>')?;
        let end = end_of_parameters(after);
        let parameters = after.get(..end).unwrap_or_default();
        if split(parameters, ';').any(is_next) {
            return Some(target.trim());
        }
        rest = after.get(end..)?;
    }
}

/// Whether a parameter is `rel` with `next` among its relations.
fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel") && value.split_whitespace().any(|one| one.eq_ignore_ascii_case("next"))
}

/// Where a link ends: at a comma outside quotes.
fn end_of_parameters(text: &str) -> usize {
    split(text, ',').next().map_or(0, str::len)
}

/// Cuts at a separator outside quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut in_quotes, mut escaped) = (false, false);
    text.split(move |letter| {
        in_quotes ^= letter == '"' && !escaped;
        escaped = in_quotes && letter == '\\' && !escaped;
        letter == separator && !in_quotes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(header: &str, expect: Option<&str>) {
        assert_eq!(next_link(header), expect, "{header}");
    }

    #[test]
    fn the_next_page_is_found_among_links() {
        check("</a?page=2>; rel=\"next\"", Some("/a?page=2"));
        check("</a>; rel=next", Some("/a"));
        check(
            "<https://x/1>; rel=\"first\", <https://x/3?a,b;c>; title=\"a, <b>; rel=\\\"x\"; REL=\"last Next\"",
            Some("https://x/3?a,b;c"),
        );
        check("</1>; rel=prev, </2>; title=\"rel=next\", </3>; rel=last", None);
        check("</1>; rev=next", None);
        for broken in ["", "next", "</1; rel=next", "</1>"] {
            check(broken, None);
        }
    }
}
