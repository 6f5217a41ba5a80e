//! The one way into a page: [`from_l1`] answers at once, and where it cannot [`awaited`] does. The service of a worker
//! ([`first`](super::first)) and the route both call them in this order.

use std::{rc::Rc, sync::Arc, time::Instant};

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    dev::RequestHead,
    http::StatusCode,
    http::header::{self, HeaderValue},
    web::Data,
};

use super::{
    body::PageBody,
    document::PageDocument,
    envelope::{Envelope, Envelopes},
    headers,
    known_urls::Wanted,
    links, packed,
    timing::server_timing,
};
use crate::{
    engine::{
        Engine, EngineError, Form, PackedItems, Page, PageItems, PageMeta, PageRequest, Place, Selection, Waited,
    },
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
/// until `pin_for` (10 minutes by default) has passed or the generations that replaced theirs take up `pinned_bytes_max`: then 410.
#[utoipa::path(
    method(get, head),
    path = "/v1/listings/{name}",
    operation_id = "getPage",
    tag = "pages",
    params(schema::NameParameter, schema::PageParameters),
    responses(
        (status = 200, description = "The page; past the end without items", body = PageDocument, headers(
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
    match from_l1(&wanted, request.head(), &engine, &envelopes) {
        Some(answer) => Ok(answer),
        None => awaited(&wanted, request.head(), &engine, &envelopes).await,
    }
}

/// The answer to a request for a page, where L1 has all of it. `None` too where something is wrong with the request.
pub(crate) fn from_l1(
    wanted: &Wanted,
    head: &RequestHead,
    engine: &Engine,
    envelopes: &Envelopes,
) -> Option<HttpResponse> {
    let began = Instant::now();
    let selection = wanted.select_at_once(engine)?;
    let asked = Asked::of(wanted, &selection, head, engine, envelopes).ok()?;
    let request = asked.request(began);
    let Some(meta) = engine.pages.find_in_l1(request) else {
        if !engine.pages.selector.is_still_chosen(&selection) {
            wanted.choose_anew();
        }
        return None;
    };
    let envelope = asked.envelope(&meta);
    let verdict = asked.verdict(&meta, &envelope);
    let page = match verdict {
        Verdict::Wanted => engine.pages.items_in_l1(request, meta)?,
        Verdict::NotModified | Verdict::Failed => engine.pages.without_items(request, meta, Waited::default()),
    };
    let answer = asked.answer(page, &envelope, verdict, began);
    Some(answer.unwrap_or_else(|problem| problem.error_response()))
}

/// The answer to a request for a page, wherever that is. To be called after [`from_l1`], which has counted the read.
pub(crate) async fn awaited(
    wanted: &Wanted,
    head: &RequestHead,
    engine: &Engine,
    envelopes: &Envelopes,
) -> Result<HttpResponse, Problem> {
    let (began, query) = (Instant::now(), &wanted.query);
    let selection = match wanted.kept(engine) {
        Some(kept) => kept,
        None => Rc::new(select(engine, wanted.resolved.clone(), &wanted.name, query, began).await?),
    };
    let asked = Asked::of(wanted, &selection, head, engine, envelopes)?;
    let request = asked.request(began);
    let found = engine.pages.find(request).await;
    let found = found.map_err(|error| unserved(error, &selection, &query.place))?;
    let mut envelope = asked.envelope(&found.meta);
    let mut verdict = asked.verdict(&found.meta, &envelope);
    let page = if verdict == Verdict::Wanted {
        let page = engine.pages.items(request, found).await;
        page.map_err(|error| unserved(error, &selection, &query.place))?
    } else {
        engine.pages.without_items(request, found.meta, found.waited)
    };
    if page.meta.shape() != envelope.shape {
        // The listing has moved meanwhile.
        envelope = asked.envelope(&page.meta);
        verdict = asked.verdict(&page.meta, &envelope);
    }
    asked.answer(page, &envelope, verdict, began)
}

/// A request for a page of a listing.
struct Asked<'r> {
    wanted: &'r Wanted,
    selection: &'r Selection,
    engine: &'r Engine,
    envelopes: &'r Envelopes,
    coding: Coding,
    conditions: Conditions<'r>,
}

/// The verdict of the request's conditions on a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The client wants it.
    Wanted,
    /// The client has it: 304.
    NotModified,
    /// It is not the page that the client wants: 412.
    Failed,
}

impl<'r> Asked<'r> {
    fn of(
        wanted: &'r Wanted,
        selection: &'r Selection,
        head: &'r RequestHead,
        engine: &'r Engine,
        envelopes: &'r Envelopes,
    ) -> Result<Self, Problem> {
        Ok(Self {
            wanted,
            selection,
            engine,
            envelopes,
            coding: Coding::of(&head.headers).map_err(|NoCoding| Problem::new(Kind::NOT_ACCEPTABLE))?,
            conditions: Conditions::of(&head.headers),
        })
    }

    /// The engine's request, for an HTTP request that began then.
    fn request(&self, began: Instant) -> PageRequest<'r> {
        PageRequest {
            selection: self.selection,
            place: &self.wanted.query.place,
            form: match self.coding {
                Coding::Identity => Form::Plain,
                // The matches of filters lie apart: there are no fragments of them.
                Coding::Gzip { only: false } if self.selection.filtering.is_some() => Form::Plain,
                Coding::Gzip { .. } => Form::Packed,
            },
            began: self.selection.made_at(began),
        }
    }

    fn envelope(&self, meta: &PageMeta) -> Arc<Envelope> {
        self.wanted.envelope(self.selection, meta, self.envelopes)
    }

    fn verdict(&self, meta: &PageMeta, envelope: &Envelope) -> Verdict {
        if !self.conditions.are_given() || meta.is_direct() {
            return Verdict::Wanted;
        }
        let last_modified = envelope.last_modified().map(|(second, _)| *second);
        if self.conditions.have_failed(last_modified) {
            return Verdict::Failed;
        }
        let is_known = match headers::shortened_tag(&self.selection.policy, meta, envelope) {
            None => self.conditions.not_modified(envelope.etag_text(), last_modified),
            Some(tag) => self.conditions.not_modified(&tag, None),
        };
        if is_known {
            Verdict::NotModified
        } else {
            Verdict::Wanted
        }
    }

    /// The answer to a request that began then.
    fn answer(
        &self,
        page: Page,
        envelope: &Arc<Envelope>,
        verdict: Verdict,
        began: Instant,
    ) -> Result<HttpResponse, Problem> {
        let body = match verdict {
            Verdict::Failed => return Err(Problem::new(Kind::PRECONDITION_FAILED)),
            Verdict::NotModified => None,
            Verdict::Wanted => body(self.engine, envelope, self.coding, page.items.as_ref(), page.packed),
        };
        let mut response = HttpResponse::build(match body {
            Some(_) => StatusCode::OK,
            None => StatusCode::NOT_MODIFIED,
        });
        let purged = self.engine.pages.cdns_are_purged();
        headers::set(&mut response, &self.selection.policy, &page.meta, envelope, purged);
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

/// The body, and its coding; `None` where the page has no items.
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
    // The missing fragments are made for the next requests.
    if !packed.unmade.is_empty() {
        engine.pages.fragments.make(packed.unmade);
    }
    envelope.packed.ask_for_opening(|| {
        let envelope = envelope.clone();
        engine
            .pages
            .fragments
            .deflate_later(move |deflater| envelope.packed.make_opening(deflater, &envelope.prefix))
    });
    Some((coding, body))
}

/// Selects the listing of a query. Errors of the query itself and choices that the listing lacks come together.
pub(crate) async fn select(
    engine: &Engine,
    resolved: Resolved,
    name: &ListingName,
    query: &PageQuery,
    began: Instant,
) -> Result<Selection, Problem> {
    let selected = engine
        .pages
        .selector
        .select_from(resolved, name, query.asked(), began)
        .await;
    if query.errors.is_empty() {
        return selected.map_err(unknown);
    }
    let mut errors = query.errors.clone();
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
