//! Pushes: a whole listing in one `PUT`, taken in as it comes.
//!
//! Of the body no more is in memory than one piece and the items that it completes. Nothing is published before the last
//! byte: a body that breaks off, a bad item or a limit leaves the old generation as it is.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{self, HeaderMap},
    },
    web::{Data, Payload},
};
use serde::Serialize;
use utoipa::ToSchema;

use super::answer;
use crate::{
    engine::{Engine, Push, Shrink},
    http::{
        pages::links::LISTINGS,
        problem::{Kind, Problem, ProblemDocument},
        request::{
            auth::Authorized,
            body::{badly_packed, coding_of, next_part, refuse_announced_excess, too_large},
            name::Name,
            query::Query,
            schema,
            unpack::{BodyCoding, Unpacker},
        },
    },
    listing::{
        Item, SortName,
        document::{BadItem, DocumentFormat, DocumentReader},
    },
};

/// The longest name of an id member.
const ID_FIELD_BYTES_MAX: usize = 128;

/// Limits on what a push brings.
#[derive(Debug)]
pub(crate) struct BodyLimits {
    /// Bytes of a body, unpacked.
    pub bytes_max: u64,
    /// Bytes of an item.
    pub item_bytes_max: usize,
}

/// The published listing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pushed {
    /// The listing's name.
    pub listing: String,
    /// The sort it is kept under.
    pub sort: String,
    /// The generation that is current now.
    pub generation: String,
    /// How many items it has.
    pub total: u64,
}

/// Replaces a pushed listing with the items of the body.
///
/// Taken in as it comes, published after its last byte; where anything is wrong with it the old generation stays.
#[utoipa::path(
    put,
    path = "/v1/listings/{name}",
    operation_id = "putListing",
    tag = "writes",
    security(("token" = [])),
    params(schema::NameParameter, schema::PushParameters),
    request_body(content(
        (String = "application/x-ndjson"),
        (Vec<schema::PushedItem> = "application/json"),
    ), description = "An item a line, or one array of items; `Content-Encoding: gzip` is taken"),
    responses(
        (status = 200, description = "Replaced", body = Pushed),
        (status = 201, description = "New", body = Pushed),
        (status = 400, description = "Bad name or parameters, or a body that broke off", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "No token is configured, or the name may not be pushed", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "The body stopped coming", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 409, description = "`has-origin`: a definition fills it; `superseded`: a later write was published first; `shrunk`: too few items would be left, see `before` and `after`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body, an item or the number of items is too large", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Another content type or coding", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A bad item, with its line", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away or full", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn put(
    _: Authorized,
    name: Name,
    request: HttpRequest,
    body: Payload,
    engine: Data<Engine>,
    limits: Data<BodyLimits>,
) -> Result<HttpResponse, Problem> {
    let asked = PushQuery::read(request.query_string())?;
    let format = format_of(request.headers())?;
    let coding = coding_of(request.headers())?;
    refuse_announced_excess(request.headers(), limits.bytes_max)?;

    let push = engine.writes.push(&name, asked.sort, asked.shrink).await?;
    let reader = DocumentReader::new(format, &asked.id_field, limits.item_bytes_max);
    let outcome = Ingest::new(reader, push, &limits).take(body, coding).await?;

    let status = if outcome.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let pushed = Pushed {
        listing: outcome.listing.name().to_string(),
        sort: outcome.listing.sort().to_string(),
        generation: outcome.generation.to_string(),
        total: outcome.total,
    };
    let mut response = answer::private(status, &pushed);
    if outcome.created
        && let Ok(location) = format!("{LISTINGS}/{}?sort={}", name.encoded(), pushed.sort).try_into()
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

struct PushQuery {
    sort: SortName,
    id_field: String,
    shrink: Shrink,
}

impl PushQuery {
    fn read(raw: &str) -> Result<Self, Problem> {
        let mut query = Query::read(raw, &["sort", "id_field", "accept_shrink"]);
        let sort = query.sort_name().unwrap_or_else(SortName::default_sort);
        let id_field = query.text("id_field").unwrap_or("id").to_owned();
        if id_field.len() > ID_FIELD_BYTES_MAX {
            query.refuse("id_field", format!("must be at most {ID_FIELD_BYTES_MAX} bytes"));
        }
        let shrink = Shrink::accepted_if(query.flag("accept_shrink"));
        query.finish().map_err(Problem::parameters)?;
        Ok(Self { sort, id_field, shrink })
    }
}

fn format_of(headers: &HeaderMap) -> Result<DocumentFormat, Problem> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    // Parameters such as `charset` change nothing: JSON is UTF-8.
    let essence = given
        .and_then(|given| given.split(';').next())
        .unwrap_or_default()
        .trim();
    if essence.eq_ignore_ascii_case("application/x-ndjson") {
        Ok(DocumentFormat::NdJson)
    } else if essence.eq_ignore_ascii_case("application/json") {
        Ok(DocumentFormat::JsonArray)
    } else {
        Err(Problem::new(Kind::UNSUPPORTED_MEDIA_TYPE)
            .detail("send application/x-ndjson, an item a line, or application/json, an array")
            .header(header::ACCEPT, "application/x-ndjson, application/json"))
    }
}

/// A body on its way into a push.
struct Ingest {
    reader: DocumentReader,
    push: Push,
    unpacked_bytes: u64,
    unpacked_bytes_max: u64,
    items: Vec<Item>,
}

impl Ingest {
    fn new(reader: DocumentReader, push: Push, limits: &BodyLimits) -> Self {
        Self {
            reader,
            push,
            unpacked_bytes: 0,
            unpacked_bytes_max: limits.bytes_max,
            items: Vec::new(),
        }
    }

    /// Takes the whole body, then publishes. On any error the push is dropped, and with it all that it wrote.
    async fn take(mut self, mut body: Payload, coding: BodyCoding) -> Result<crate::engine::PushOutcome, Problem> {
        let mut unpacker = Unpacker::new(coding);
        let mut piece = Vec::new();
        while let Some(packed) = next_part(&mut body).await? {
            let mut rest = &packed[..];
            while !rest.is_empty() {
                let taken = unpacker.unpack(rest, &mut piece).map_err(|_| badly_packed())?;
                rest = &rest[taken..];
                self.feed(&piece).await?;
            }
        }
        unpacker.end(&mut piece).map_err(|_| badly_packed())?;
        self.feed(&piece).await?;
        self.reader.end(&mut self.items).map_err(bad_item)?;
        self.append().await?;
        Ok(self.push.finish().await?)
    }

    async fn feed(&mut self, piece: &[u8]) -> Result<(), Problem> {
        self.unpacked_bytes += piece.len() as u64;
        if self.unpacked_bytes > self.unpacked_bytes_max {
            return Err(too_large(self.unpacked_bytes_max));
        }
        self.reader.feed(piece, &mut self.items).map_err(bad_item)?;
        self.append().await?;
        // A body that has arrived whole, or unpacks to much, shares its worker with other requests.
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn append(&mut self) -> Result<(), Problem> {
        for item in self.items.drain(..) {
            self.push.append(item).await?;
        }
        Ok(())
    }
}

fn bad_item(error: BadItem) -> Problem {
    let kind = if error.too_large {
        Kind::ITEM_TOO_LARGE
    } else {
        Kind::BAD_ITEM
    };
    Problem::new(kind).detail(error.detail).line(error.line)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn headers(name: header::HeaderName, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn two_content_types_are_taken() {
        let of = |value| format_of(&headers(header::CONTENT_TYPE, value)).map_err(|problem| problem.kind());
        assert_eq!(of("application/x-ndjson"), Ok(DocumentFormat::NdJson));
        assert_eq!(of("Application/JSON; charset=utf-8"), Ok(DocumentFormat::JsonArray));
        for other in [
            "text/plain",
            "application/json5",
            "",
            "application/x-www-form-urlencoded",
        ] {
            assert_eq!(of(other), Err(Kind::UNSUPPORTED_MEDIA_TYPE), "{other}");
        }
        assert!(format_of(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_push_names_sort_and_id_field() {
        let read = |raw| PushQuery::read(raw).map(|query| (query.sort.to_string(), query.id_field));
        assert_eq!(read("").unwrap(), ("default".to_owned(), "id".to_owned()));
        assert_eq!(
            read("sort=price&id_field=sku%20no").unwrap(),
            ("price".to_owned(), "sku no".to_owned())
        );
        assert_eq!(read("sort=Price&id_field=").unwrap_err().kind(), Kind::BAD_PARAMETERS);
    }
}
