//! Pages of listings.

use std::{sync::Arc, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    dev::RequestHead,
    http::StatusCode,
    http::header::{self, HeaderValue},
    web::Data,
};

use super::{
    body::PageBody,
    envelope::{Envelope, Envelopes},
    headers,
    known_urls::Wanted,
    links, packed,
    timing::server_timing,
};
use crate::{
    engine::{self, Engine, EngineError, Form, PackedItems, Page, PageItems, PageMeta, Place, Selection},
    http::{
        edge::CACHE_STATUS,
        problem::{Kind, Problem, ProblemDocument},
        request::{
            coding::{Coding, NoCoding},
            conditional::Conditions,
            name::Name,
            query::{PageQuery, Sizes},
            schema,
        },
    },
    listing::{ListingName, definition::Resolved},
};

/// Smaller pages go out as they are: they fit into a packet or two anyway.
const PACKED_BYTES_LEAST: u64 = 600;

/// One page of a listing.
///
/// By `page` and `size`, by `offset` and `limit`, or by a `cursor` from the links of a page. Links `self`, `prev` and
/// `next` stay in one generation: following `next` shows each item exactly once, whatever is published meanwhile,
/// until `pin_for` (10 minutes by default) has passed or `pinned_generations_max` (16) generations have replaced theirs: then 410.
#[utoipa::path(
    method(get, head),
    path = "/v1/listings/{name}",
    tag = "pages",
    params(schema::NameParameter, schema::PageParameters),
    responses(
        (status = 200, description = "The page; past the end without items", body = schema::PageDocument, headers(
            ("ETag" = String, description = "Weak, from generation and window; the same for both codings"),
            ("Content-Encoding" = String, description = "`gzip` where `Accept-Encoding` takes it and the page is not tiny"),
            ("Vary" = String, description = "`Accept-Encoding`"),
            ("Last-Modified" = String, description = "The generation's second, once it is over"),
            ("Cache-Control" = String, description = "The lifetime that is left"),
            ("Content-Location" = String, description = "The page's canonical URL"),
            ("Link" = String, description = "RFC 8288: first, prev, next, last; next alone where the name is very long"),
            ("X-Total-Count" = u64, description = "Items in the listing"),
            ("Cache-Status" = String, description = "RFC 9211: which layer served it"),
            ("CDN-Cache-Control" = String, description = "RFC 9213, where `cdn_max_age` is configured: for a CDN that is purged"),
            ("Surrogate-Key" = String, description = "Tags for purging: the listing's, then those configured"),
            ("Server-Timing" = String, description = "Where the time went, in milliseconds"),
            ("X-Request-Id" = String, description = "The request's own, if it brought one; or one that the access log has"),
        )),
        (status = 304, description = "The client has this page"),
        (status = 400, description = "A bad name, or bad parameters, all of them at once", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such listing", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 406, description = "`Accept-Encoding` takes neither gzip nor identity", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 410, description = "The pinned generation is no longer kept", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 412, description = "`If-Match` names a tag (ours are weak, so none matches), or the page is newer than `If-Unmodified-Since`", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 414, description = "The URL is too long", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Nothing to serve yet, or overloaded; `Retry-After` says when to come back", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn page_route(
    name: Name,
    request: HttpRequest,
    engine: Data<Engine>,
    sizes: Data<Sizes>,
    envelopes: Data<Envelopes>,
) -> Result<HttpResponse, Problem> {
    let wanted = Wanted::of(name, request.uri(), &engine, **sizes);
    page(&wanted, request.head(), &engine, &envelopes, None).await
}

/// A page that is not here, as far as it was found.
pub(crate) struct Begun {
    began: Instant,
    selection: Arc<Selection>,
    found: Option<Box<engine::Begun>>,
}

/// The page of [`page`], if nobody has to be waited for; else what that goes on with, if anything. What is wrong with a request
/// is told there too, but for a condition that has failed.
pub(crate) fn page_here(
    wanted: &Wanted,
    head: &RequestHead,
    engine: &Arc<Engine>,
    envelopes: &Envelopes,
) -> Result<HttpResponse, Option<Begun>> {
    let began = Instant::now();
    let selection = wanted.select_here(engine, began).ok_or(None)?;
    let asked = Asked::of(wanted, head, envelopes).map_err(|_| None)?;
    let found = engine.page_here(
        &selection,
        wanted.query.place(),
        asked.form(),
        &|meta| asked.needs_no_items(&selection, meta),
        selection.made_at(began),
    );
    match found {
        Ok(page) => Ok(asked
            .answer(engine, &selection, page, began)
            .unwrap_or_else(|problem| problem.error_response())),
        Err(found) if !engine.is_still_chosen(&selection, found.as_deref()) => {
            wanted.choose_anew();
            Err(None)
        }
        Err(found) => Err(Some(Begun {
            began,
            selection,
            found,
        })),
    }
}

/// A page, by what a request's URL and the rest of its head ask for, and what [`page_here`] has begun.
pub(crate) async fn page(
    wanted: &Wanted,
    head: &RequestHead,
    engine: &Arc<Engine>,
    envelopes: &Envelopes,
    begun: Option<Begun>,
) -> Result<HttpResponse, Problem> {
    let query = &wanted.query;
    let (began, selection, found) = match begun {
        Some(begun) => (begun.began, begun.selection, begun.found),
        None => {
            let began = Instant::now();
            let selection = select(engine, wanted.resolved.clone(), &wanted.name, query, began).await?;
            (began, Arc::new(selection), None)
        }
    };
    let asked = Asked::of(wanted, head, envelopes)?;
    let page = engine
        .page_as(
            &selection,
            query.place(),
            asked.form(),
            &|meta| asked.needs_no_items(&selection, meta),
            selection.made_at(began),
            found,
        )
        .await
        .map_err(|error| unserved(error, &selection, query.place()))?;
    asked.answer(engine, &selection, page, began)
}

/// What a request asks for.
struct Asked<'r> {
    wanted: &'r Wanted,
    envelopes: &'r Envelopes,
    coding: Coding,
    conditions: Conditions<'r>,
}

impl<'r> Asked<'r> {
    fn of(wanted: &'r Wanted, head: &'r RequestHead, envelopes: &'r Envelopes) -> Result<Self, Problem> {
        Ok(Self {
            wanted,
            envelopes,
            coding: Coding::of(&head.headers).map_err(|NoCoding| Problem::new(Kind::NOT_ACCEPTABLE))?,
            conditions: Conditions::of(&head.headers),
        })
    }

    fn form(&self) -> Form {
        match self.coding {
            Coding::Identity => Form::Plain,
            Coding::Gzip { .. } => Form::Packed,
        }
    }

    fn envelope(&self, selection: &Selection, meta: &PageMeta) -> Arc<Envelope> {
        self.wanted.envelope(selection, meta, self.envelopes)
    }

    /// Whether the client has the page, or does not want the one there is.
    fn needs_no_items(&self, selection: &Selection, meta: &PageMeta) -> bool {
        self.conditions.are_given() && !meta.is_direct() && {
            let envelope = self.envelope(selection, meta);
            let last_modified = envelope.last_modified().map(|(second, _)| *second);
            self.conditions.have_failed(last_modified)
                || self.conditions.not_modified(envelope.etag_text(), last_modified)
        }
    }

    /// The answer to a request that began then.
    fn answer(
        &self,
        engine: &Engine,
        selection: &Selection,
        page: Page,
        began: Instant,
    ) -> Result<HttpResponse, Problem> {
        let envelope = self.envelope(selection, &page.meta);
        if self.conditions.may_fail()
            && !page.meta.is_direct()
            && self
                .conditions
                .have_failed(envelope.last_modified().map(|(second, _)| *second))
        {
            return Err(Problem::new(Kind::PRECONDITION_FAILED));
        }
        // The engine may bring items that nobody asked for, where they cost nothing.
        let body = if self.needs_no_items(selection, &page.meta) {
            None
        } else {
            body(engine, &envelope, self.coding, page.items.as_ref(), page.packed)
        };
        let mut response = HttpResponse::build(match body {
            Some(_) => StatusCode::OK,
            None => StatusCode::NOT_MODIFIED,
        });
        headers::set(&mut response, &selection.policy, &page.meta, &envelope);
        let timing = server_timing(page.meta.served, page.waited, began.elapsed());
        response.insert_header((headers::SERVER_TIMING, timing));
        let Some((coding, body)) = body else {
            return Ok(response.finish());
        };
        response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")));
        if coding != Coding::Identity {
            response.insert_header((header::CONTENT_ENCODING, HeaderValue::from_static("gzip")));
        }
        Ok(response.body(body))
    }
}

/// The body, and the coding that it is in; `None` where the engine brought no items, for nobody needs them.
fn body(
    engine: &Engine,
    envelope: &Arc<Envelope>,
    coding: Coding,
    plain: Option<&PageItems>,
    packed: Option<PackedItems>,
) -> Option<(Coding, PageBody)> {
    let prefix = &envelope.prefix;
    let Some(packed) = packed else {
        return plain.map(|items| (Coding::Identity, PageBody::of(prefix.clone(), items)));
    };
    if let Some(items) = plain
        && coding == (Coding::Gzip { only: false })
        && packed::plain_bytes(prefix, &packed) < PACKED_BYTES_LEAST
    {
        return Some((Coding::Identity, PageBody::of(prefix.clone(), items)));
    }
    let body = PageBody::from(packed::slices(&envelope.packed, prefix, &packed));
    // What was missing now is made for those who come next.
    if !packed.unmade.is_empty() {
        engine.make_fragments(packed.unmade);
    }
    envelope.packed.ask_for_opening(|| {
        let envelope = envelope.clone();
        engine.deflate_later(move |deflater| envelope.packed.make_opening(deflater, &envelope.prefix))
    });
    Some((coding, body))
}

/// Selects what a query asks for. What is wrong with the query itself and what the listing does not have come together.
pub(crate) async fn select(
    engine: &Engine,
    resolved: Resolved,
    name: &ListingName,
    query: &PageQuery,
    began: Instant,
) -> Result<Selection, Problem> {
    let selected = engine.select_from(resolved, name, query.asked(), began).await;
    if query.errors().is_empty() {
        return selected.map_err(unknown);
    }
    let mut errors = query.errors().to_vec();
    if let Err(EngineError::Invalid(more)) = selected {
        errors.extend(more);
    }
    Err(Problem::parameters(errors))
}

fn unknown(error: EngineError) -> Problem {
    let is_absent = matches!(error, EngineError::NotFound);
    let problem = Problem::from(error);
    if is_absent {
        problem.header(CACHE_STATUS, headers::NEGATIVE)
    } else {
        problem
    }
}

fn unserved(error: EngineError, selection: &Selection, place: &Place) -> Problem {
    let is_gone = matches!(error, EngineError::Gone);
    let problem = unknown(error);
    if is_gone {
        problem.newest(links::newest(selection, place))
    } else {
        problem
    }
}
