//! The configuration of an API.

use url::Url;

use super::{JsonPointer, RequestTemplate, Secret};

/// An origin of the kind `http`.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpOriginConfig {
    /// The base of all targets: no query, no fragment, and user and password are in `headers`.
    pub url: Url,
    /// Sent with every request, secrets among them.
    pub headers: Vec<(Box<str>, Secret)>,
    /// How an answer leads to the next.
    pub paging: Paging,
    /// The value `:limit`.
    pub page_size: u64,
    /// The value `:page` of the first page.
    pub first_page: u64,
    /// Where in an answer its items are.
    pub items: JsonPointer,
    /// Where in one of them the item itself is.
    pub item: JsonPointer,
    /// Where it is said how many items there are in all.
    pub total: Option<Total>,
    /// Where an answer holds errors that its status does not tell; without it the origin decides what counts.
    pub errors: Option<JsonPointer>,
    /// A session that is opened before a read and closed after it.
    pub session: Option<SessionConfig>,
    /// Whether 404, or an answer without a list, means that there are no items.
    pub not_found_is_empty: bool,
    /// How often a request is repeated.
    pub retries: u32,
    /// The largest answer, unpacked.
    pub response_bytes_max: u64,
    /// All answers of a read together, unpacked.
    pub read_bytes_max: u64,
}

/// How an answer leads to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paging {
    /// There is one answer.
    None,
    /// By the value `:page`, until a page is empty or the total is reached.
    Page,
    /// By the value `:offset`, likewise.
    Offset,
    /// By the value `:cursor`, which stands there in the answer; where there is none the read ends.
    Cursor(JsonPointer),
    /// By the value `:cursor`, which stands there in an answer's last item, until a page is empty or the total is reached.
    LastItem(JsonPointer),
    /// By a URL, which stands there in the answer; where there is none the read ends.
    Url(JsonPointer),
    /// By the URL in the header `Link` with `rel="next"`.
    Link,
}

impl Paging {
    /// The value that a request must name, or it would read the first page for ever.
    pub fn value(&self) -> Option<&'static str> {
        match self {
            Self::Page => Some("page"),
            Self::Offset => Some("offset"),
            Self::Cursor(_) | Self::LastItem(_) => Some("cursor"),
            Self::None | Self::Url(_) | Self::Link => None,
        }
    }
}

/// Where it is said how many items there are in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Total {
    /// In the answer.
    Pointer(JsonPointer),
    /// In a header.
    Header(Box<str>),
}

/// A session, such as a point in time of Elasticsearch: the value `:session` of the requests within it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionConfig {
    /// Opens it.
    pub open: RequestTemplate,
    /// Where in the answer to that its id is.
    pub id: JsonPointer,
    /// Where in other answers a newer id may be.
    pub renewed: Option<JsonPointer>,
    /// Closes it.
    pub close: Option<RequestTemplate>,
}
