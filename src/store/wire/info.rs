//! The answer to INFO.

use redis::Value;

use super::reply;

/// The text of INFO; `None` where it is refused.
pub(crate) fn info_text(reply: Value) -> Option<String> {
    match reply {
        Value::VerbatimString { text, .. } => Some(text),
        reply => reply::text(reply),
    }
}

/// One field of INFO.
pub(crate) fn info_field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_info_is_found_by_its_whole_name() {
        let info = "# Server\r\nredis_version:7.2.4\r\nrun_id:abc\r\n";
        assert_eq!(info_field(info, "redis_version"), Some("7.2.4"));
        assert_eq!(info_field(info, "run_id"), Some("abc"));
        assert_eq!(info_field(info, "run"), None);
    }
}
