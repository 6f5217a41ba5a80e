//! Reading from the first page to the last, as one whole or not at all.
//!
//! Nothing is handed on before the last page is there. Only then it is known that no page is missing, and a read that was
//! not whole can be repeated: what was handed on could not be taken back. It costs the memory of a read, which is bounded
//! (`read_max`), and which the engine or the sort would need anyway.

use std::sync::Arc;

use reqwest::{
    Method, Url,
    header::{HeaderMap, HeaderValue, LINK},
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{
    answer::{self, Body, Page},
    attempts::RequestFailure,
    client::{Answer, ApiClient, FoundAnswer, Prepared},
    link::next_link,
    lookup::count_of,
    session::{ApiSession, prepare},
    validator::Validator,
    values::{BoundValue, Values},
    wholeness::Wholeness,
};
use crate::{
    config::{HttpOriginConfig, Paging, RequestTemplate, Total},
    listing::ItemId,
    origin::OriginError,
};

/// Pages of one read: what goes on longer leads in a circle.
const PAGES_MAX: u32 = 100_000;
/// How often a read is repeated at once whose items shifted.
const REPEATS_MAX: u32 = 2;

/// What each element of an answer is made into.
pub(super) type Each<T> = Arc<dyn Fn(u64, &str) -> Result<T, OriginError> + Send + Sync>;

/// An element of an answer.
pub(super) trait Element: Send + 'static {
    /// What tells it from others, where something does.
    fn id(&self) -> Option<&ItemId>;
}

/// One read.
pub(super) struct Pages<'a> {
    pub client: &'a ApiClient,
    pub config: &'a Arc<HttpOriginConfig>,
    pub request: &'a RequestTemplate,
    pub values: Values,
    pub deadline: Instant,
}

/// Where the next answer is.
#[derive(Debug)]
enum Next {
    Nowhere,
    Page(u64),
    Offset(u64),
    Cursor(Box<RawValue>),
    Url(Url),
}

/// What one request came to: with a page its headers, and the URL that it came from, redirects followed.
enum Answered<T> {
    /// What the validator was given for still holds.
    Unchanged,
    /// 404, which means that there are no items.
    Nothing,
    Page(Box<(Page<T>, HeaderMap, Url)>),
}

impl Pages<'_> {
    /// All elements; `None` where the validator still holds. With them comes a validator, where there is one of the whole.
    pub(super) async fn whole<T: Element>(
        &self,
        each: &Each<T>,
        unless: Option<&Validator>,
    ) -> Result<Option<(Vec<T>, Option<Validator>)>, OriginError> {
        let mut repeated = 0;
        loop {
            match self.read(each, unless).await {
                Err(OriginError::Shifted(reason)) if repeated < REPEATS_MAX => {
                    repeated += 1;
                    tracing::debug!(reason, repeated, "the origin is read again from the start");
                }
                outcome => return outcome,
            }
        }
    }

    async fn read<T: Element>(
        &self,
        each: &Each<T>,
        unless: Option<&Validator>,
    ) -> Result<Option<(Vec<T>, Option<Validator>)>, OriginError> {
        let mut values = self.values.clone();
        values.set("limit", BoundValue::Number(self.config.page_size));
        let mut session = match &self.config.session {
            Some(session) => Some(ApiSession::open(self.client, self.config, session, self.deadline).await?),
            None => None,
        };
        let mut next = match self.config.paging {
            Paging::Page => Next::Page(self.config.first_page),
            Paging::Offset => Next::Offset(0),
            _ => Next::Nowhere,
        };
        let mut wholeness = Wholeness::default();
        let mut elements = Vec::new();
        let mut bytes = 0;
        for number in 0..PAGES_MAX {
            if let Some(session) = &session {
                values.set("session", session.value());
            }
            let request = self.request(&next, &mut values)?;
            // To POST there is no 304.
            let is_conditional = number == 0 && request.method == Method::GET;
            let unless = unless.filter(|_| is_conditional);
            let (page, headers, url) = match self.answer(&request, unless, wholeness.count, each).await? {
                Answered::Unchanged => return Ok(None),
                Answered::Nothing => (Page::empty(), HeaderMap::new(), request.url.clone()),
                Answered::Page(answered) => *answered,
            };
            bytes += page.bytes;
            if bytes > self.config.read_bytes_max {
                let max = self.config.read_bytes_max;
                return Err(OriginError::Misdeclared(format!(
                    "the answers of one read have more than {max} bytes (`read_max`)"
                )));
            }
            let ids = page.elements.iter().filter_map(T::id);
            wholeness.take(ids, page.elements.len(), page.total)?;
            if let (Some(session), Some(renewed)) = (&mut session, page.session) {
                session.renew(renewed);
            }
            let is_empty = page.elements.is_empty();
            elements.extend(page.elements);
            next = self.next(&next, &url, is_empty, page.next, &headers, &wholeness)?;
            if matches!(next, Next::Nowhere) {
                wholeness.end()?;
                // Of several answers no one validator tells.
                let is_told = is_conditional && session.is_none() && self.end_is_in_the_body();
                let validator = Validator::of(&headers).filter(|_| is_told);
                return Ok(Some((elements, validator)));
            }
        }
        Err(OriginError::Unavailable(
            format!("there is a next page even after {PAGES_MAX} pages").into(),
        ))
    }

    /// Whether an answer's body tells that it is the last one. Else a first page that is full could stay as it is, entity
    /// tag and all, when a second one comes to be.
    fn end_is_in_the_body(&self) -> bool {
        let by_paging = matches!(self.config.paging, Paging::None | Paging::Cursor(_) | Paging::Url(_));
        by_paging || matches!(self.config.total, Some(Total::Pointer(_)))
    }

    fn request(&self, next: &Next, values: &mut Values) -> Result<Prepared, OriginError> {
        match next {
            Next::Page(page) => values.set("page", BoundValue::Number(*page)),
            Next::Offset(offset) => values.set("offset", BoundValue::Number(*offset)),
            Next::Cursor(cursor) => values.set("cursor", BoundValue::Json(cursor.get().into())),
            Next::Nowhere | Next::Url(_) => {}
        }
        let mut request = prepare(self.client, self.request, values)?;
        if let Next::Url(url) = next {
            request.url = url.clone();
        }
        Ok(request)
    }

    /// One answer, asked for again where the API says so, with its status or in a body.
    async fn answer<T: Element>(
        &self,
        request: &Prepared,
        unless: Option<&Validator>,
        before: u64,
        each: &Each<T>,
    ) -> Result<Answered<T>, OriginError> {
        let mut attempts = self.client.attempts(self.deadline);
        loop {
            let FoundAnswer { url, headers, body } = match self.client.send(request, unless, &mut attempts).await? {
                Answer::NotModified => return Ok(Answered::Unchanged),
                Answer::NotFound if before == 0 && self.config.not_found_is_empty => return Ok(Answered::Nothing),
                Answer::NotFound => {
                    let reason = format!("{} {} answered 404 Not Found", request.method, request.url.path());
                    return Err(OriginError::Unavailable(reason.into()));
                }
                Answer::Found(answer) => *answer,
            };
            let total = self.total_in(&headers)?;
            match self.page(body, before, total, each).await {
                Ok(page) => return Ok(Answered::Page(Box::new((page, headers, url)))),
                Err(failure) => attempts.again(failure.not_before(&headers)).await?,
            }
        }
    }

    /// Takes an answer apart, off the runtime's own threads: it may have megabytes.
    async fn page<T: Element>(
        &self,
        body: Body,
        before: u64,
        total: Option<u64>,
        each: &Each<T>,
    ) -> Result<Page<T>, RequestFailure> {
        let (config, each) = (self.config.clone(), each.clone());
        tokio::task::spawn_blocking(move || answer::page(body, &config, before, total, &*each))
            .await
            .map_err(RequestFailure::unavailable)?
    }

    /// The total in the header that is to say it; none where that is not there or empty.
    fn total_in(&self, headers: &HeaderMap) -> Result<Option<u64>, OriginError> {
        let Some(Total::Header(name)) = &self.config.total else {
            return Ok(None);
        };
        let value = headers.get(&**name).map(HeaderValue::as_bytes).unwrap_or_default();
        if value.trim_ascii().is_empty() {
            return Ok(None);
        }
        let total = std::str::from_utf8(value).ok().and_then(count_of);
        let no_count = || format!("the answer's header `{name}` (`total_header`) is no count");
        total.map(Some).ok_or_else(|| OriginError::Misdeclared(no_count()))
    }

    /// Where the answer after this one is. That a page has fewer items than were asked for means nothing: an API may have
    /// a bound of its own. Only an empty page, the total, or the API's own word ends a read.
    fn next(
        &self,
        this: &Next,
        url: &Url,
        is_empty: bool,
        found: Option<Box<RawValue>>,
        headers: &HeaderMap,
        wholeness: &Wholeness,
    ) -> Result<Next, OriginError> {
        let is_last = is_empty || wholeness.is_complete();
        let link = || next_link(headers.get_all(LINK).iter().map(HeaderValue::as_bytes));
        let next = match (&self.config.paging, this) {
            (Paging::Page, Next::Page(page)) if !is_last => Next::Page(page + 1),
            (Paging::Offset, Next::Offset(_)) if !is_last => Next::Offset(wholeness.count),
            (Paging::Cursor(_), _) => next_cursor(this, found)?,
            (Paging::LastItem(_), _) if !is_last => next_cursor(this, found)?,
            (Paging::Url(_), _) => match found {
                Some(found) => {
                    let to = serde_json::from_str::<String>(found.get());
                    let to = to.map_err(|_| OriginError::Misdeclared("the next page's URL is no text".to_owned()))?;
                    self.next_url(url, &to)?
                }
                None => Next::Nowhere,
            },
            (Paging::Link, _) => {
                let unreadable = |_| OriginError::Unavailable("the answer's header `Link` cannot be read".into());
                match link().map_err(unreadable)? {
                    Some(to) => self.next_url(url, &to)?,
                    None => Next::Nowhere,
                }
            }
            _ => Next::Nowhere,
        };
        // A pointer that leads nowhere looks like the end, and so does the only page of an API that has more.
        if matches!(next, Next::Nowhere) && !is_last && matches!(link(), Ok(Some(_))) {
            return Err(OriginError::Misdeclared(
                "the answer names a next page in its header `Link`, and `paging` finds none: \"link\" follows it"
                    .to_owned(),
            ));
        }
        Ok(next)
    }

    fn next_url(&self, from: &Url, to: &str) -> Result<Next, OriginError> {
        let unusable = |reason: String| OriginError::Unavailable(reason.into());
        let to = self
            .client
            .joined(from, to)
            .map_err(|_| unusable("the next page's URL is none".to_owned()))?;
        let to = self.client.by_own_scheme(to);
        // Headers with secrets go along.
        self.client
            .same_host(&to)
            .map_err(|host| unusable(format!("the next page is on another host, {host}")))?;
        if to == *from {
            return Err(unusable("the next page is the same page".to_owned()));
        }
        Ok(Next::Url(to))
    }
}

fn next_cursor(this: &Next, found: Option<Box<RawValue>>) -> Result<Next, OriginError> {
    match (this, found) {
        (_, None) => Ok(Next::Nowhere),
        (Next::Cursor(this), Some(found)) if this.get() == found.get() => Err(OriginError::Unavailable(
            "the next page's cursor is the same page's".into(),
        )),
        (_, Some(found)) => Ok(Next::Cursor(found)),
    }
}
