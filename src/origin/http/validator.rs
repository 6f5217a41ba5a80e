//! The validator of an API's answer: the next read asks by it whether anything changed (RFC 9110, 8.8 and 13.1).

use reqwest::header::{
    DATE, ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
};

use crate::listing::DataVersion;

/// A state of what a URL names, as the API gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Validator {
    EntityTag(HeaderValue),
    /// Counts only where the API gives no entity tag.
    LastModified(HeaderValue),
}

/// Stand in a version for the kind of its validator.
const ENTITY_TAG: char = 'e';
const LAST_MODIFIED_TIME: char = 'm';

impl Validator {
    /// The validator of an answer, if it has one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        match (headers.get(ETAG), headers.get(LAST_MODIFIED)) {
            (Some(etag), _) => Some(Self::EntityTag(etag.clone())),
            (None, Some(time)) if is_over(time, headers.get(DATE)?) => Some(Self::LastModified(time.clone())),
            _ => None,
        }
    }

    /// The header that asks whether it still holds.
    pub(super) fn condition(&self) -> (HeaderName, &HeaderValue) {
        match self {
            Self::EntityTag(etag) => (IF_NONE_MATCH, etag),
            Self::LastModified(time) => (IF_MODIFIED_SINCE, time),
        }
    }

    /// As a head keeps it; `None` where it is too long or no text. `api` tells one API from another: the entity tags of two
    /// may be alike.
    pub(super) fn version(&self, api: u64) -> Option<DataVersion> {
        let (kind, value) = match self {
            Self::EntityTag(etag) => (ENTITY_TAG, etag),
            Self::LastModified(time) => (LAST_MODIFIED_TIME, time),
        };
        DataVersion::parse(&format!("{api:016x}{kind}{}", value.to_str().ok()?))
    }

    /// The validator that a version was made of, for the same API.
    pub(super) fn from_version(version: &DataVersion, api: u64) -> Option<Self> {
        let rest = version.as_str().strip_prefix(&format!("{api:016x}"))?;
        let mut rest = rest.chars();
        let kind = rest.next()?;
        let value = HeaderValue::from_str(rest.as_str()).ok()?;
        match kind {
            ENTITY_TAG => Some(Self::EntityTag(value)),
            LAST_MODIFIED_TIME => Some(Self::LastModified(value)),
            _ => None,
        }
    }
}

/// Whether a second was over when the API answered: a further change within it has the same time (RFC 9110, 8.8.2.2).
fn is_over(time: &HeaderValue, date: &HeaderValue) -> bool {
    let second = |value: &HeaderValue| httpdate::parse_http_date(value.to_str().ok()?).ok();
    matches!((second(time), second(date)), (Some(time), Some(date)) if time < date)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(of: &[(HeaderName, &'static str)]) -> HeaderMap {
        let value = |text| HeaderValue::from_static(text);
        of.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    #[test]
    fn a_version_is_a_validator_again_for_the_same_api_only() {
        let etag = Validator::of(&headers(&[(ETAG, "W/\"ab c\"")])).unwrap();
        let version = etag.version(7).unwrap();
        assert_eq!(Validator::from_version(&version, 7), Some(etag));
        assert_eq!(Validator::from_version(&version, 8), None);
        for foreign in ["1:2:3:(4, 5)", "0000000000000007", "0000000000000007xy", "é"] {
            assert_eq!(Validator::from_version(&DataVersion::of(foreign), 7), None, "{foreign}");
        }
    }

    #[test]
    fn the_entity_tag_counts_before_the_time_and_the_time_once_its_second_is_over() {
        const NINE: &str = "Sun, 22 Nov 2026 09:00:00 GMT";
        const NEXT: &str = "Sun, 22 Nov 2026 09:00:01 GMT";
        let both = headers(&[(ETAG, "\"1\""), (LAST_MODIFIED, NINE), (DATE, NEXT)]);
        assert_eq!(Validator::of(&both).unwrap().condition().0, IF_NONE_MATCH);
        let over = headers(&[(LAST_MODIFIED, NINE), (DATE, NEXT)]);
        assert_eq!(Validator::of(&over).unwrap().condition().0, IF_MODIFIED_SINCE);
        for not_over in [
            headers(&[(LAST_MODIFIED, NINE), (DATE, NINE)]),
            headers(&[(LAST_MODIFIED, NINE)]),
            headers(&[]),
        ] {
            assert_eq!(Validator::of(&not_over), None);
        }
    }
}
