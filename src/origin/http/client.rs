//! One request to an API: repeated where that may help, redirected within the API's own host only, its answer bounded.

use std::time::{Duration, SystemTime};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION},
    redirect::Policy,
};
use tokio::time::{Instant, timeout};

use super::{
    answer::{self, Body, too_large},
    attempts::{RequestAttempts, RequestFailure, retry_after},
    refusal::ApiRefusal,
    validator::Validator,
};
use crate::{config::HttpOriginConfig, origin::OriginError};

/// Redirects of one request.
const REDIRECTS_MAX: usize = 4;
/// The longest URL that is asked for: a cursor may be long. The HTTP library takes no more than twice as much.
const URL_BYTES_MAX: usize = 32 * 1024;
/// How much is read of the body of an answer with an error's status.
const ERROR_BYTES_MAX: u64 = 64 * 1024;
/// How long that body is waited for.
const ERROR_TIMEOUT: Duration = Duration::from_secs(1);
/// Until a connection is there. A slower attempt is made again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request with all values put in.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub method: Method,
    pub url: Url,
    pub body: Option<Vec<u8>>,
}

/// The answer of an API.
pub(super) enum Answer {
    /// A body.
    Found(Box<FoundAnswer>),
    /// 304: the answer with that validator still holds.
    NotModified,
    /// 404.
    NotFound,
}

/// An answer with a body.
pub(super) struct FoundAnswer {
    /// Where it came from, redirects followed.
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Body,
}

/// Sends requests. Clones share their connections.
#[derive(Clone, Debug)]
pub(super) struct ApiClient {
    client: Client,
    base: Url,
    retries: u32,
    response_bytes_max: u64,
}

impl ApiClient {
    pub(super) fn new(config: &HttpOriginConfig) -> Result<Self, OriginError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        for (name, value) in &config.headers {
            let bad = || OriginError::Misdeclared(format!("the header `{name}` cannot be sent"));
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
            let mut value = HeaderValue::from_str(value.expose()).map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.insert(header, value);
        }
        let client = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("listcache/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            // The environment's variables for proxies are meant for other programs.
            .no_proxy()
            .redirect(Policy::none())
            .build()
            .map_err(|error| OriginError::Unavailable(Box::new(error)))?;
        Ok(Self {
            client,
            base: config.url.clone(),
            retries: config.retries,
            response_bytes_max: config.response_bytes_max,
        })
    }

    /// The URL of a target of the API.
    pub(super) fn url(&self, target: &str) -> Result<Url, OriginError> {
        let base = self.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{target}"));
        url.map_err(|_| OriginError::Misdeclared(format!("`{target}` is no target of a request")))
    }

    /// The attempts that one request has.
    pub(super) fn attempts(&self, deadline: Instant) -> RequestAttempts {
        RequestAttempts::new(self.retries, deadline)
    }

    /// Sends a request until it is answered, or repeating it helps no more, or the deadline would pass meanwhile.
    pub(super) async fn send(
        &self,
        request: &Prepared,
        unless: Option<&Validator>,
        attempts: &mut RequestAttempts,
    ) -> Result<Answer, OriginError> {
        loop {
            match self.send_once(request, unless).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => attempts.again(failure).await?,
            }
        }
    }

    async fn send_once(&self, request: &Prepared, unless: Option<&Validator>) -> Result<Answer, RequestFailure> {
        let name = RequestLine(&request.method, &request.url);
        let (url, response) = self.follow(request, unless).await?;
        let status = response.status();
        match status {
            StatusCode::NOT_MODIFIED if unless.is_some() => Ok(Answer::NotModified),
            StatusCode::NOT_FOUND => Ok(Answer::NotFound),
            _ if status.is_success() => {
                let headers = response.headers().clone();
                let body = self.body(&name, response, self.response_bytes_max).await?;
                Ok(Answer::Found(Box::new(FoundAnswer { url, headers, body })))
            }
            _ => {
                let retry_after = retry_after(response.headers(), SystemTime::now());
                let refusal = match timeout(ERROR_TIMEOUT, self.body(&name, response, ERROR_BYTES_MAX)).await {
                    Ok(Ok(body)) => answer::refusal(body, ERROR_BYTES_MAX),
                    Ok(Err(_)) | Err(_) => None,
                };
                Err(refused(&name, status, retry_after, refusal))
            }
        }
    }

    /// Sends the request and follows redirects, for headers with secrets go along: not to another host.
    async fn follow(&self, request: &Prepared, unless: Option<&Validator>) -> Result<(Url, Response), RequestFailure> {
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            if url.as_str().len() > URL_BYTES_MAX {
                let name = RequestLine(&request.method, &request.url);
                let reason = format!("{name} is longer than {URL_BYTES_MAX} bytes with its query");
                return Err(RequestFailure::unavailable(reason));
            }
            let mut builder = self.client.request(request.method.clone(), url.clone());
            if let Some(body) = &request.body {
                builder = builder.header(CONTENT_TYPE, "application/json").body(body.clone());
            }
            if let Some(validator) = unless {
                let (name, value) = validator.condition();
                builder = builder.header(name, value);
            }
            let sent = builder.send().await;
            let response =
                sent.map_err(|error| RequestFailure::passing(RequestFailed::new(&request.method, &url, error)))?;
            if !is_redirect(response.status()) {
                return Ok((url, response));
            }
            url = self
                .redirected(request, &url, &response)
                .map_err(RequestFailure::unavailable)?;
        }
        let name = RequestLine(&request.method, &request.url);
        let reason = format!("{name} is redirected more than {REDIRECTS_MAX} times");
        Err(RequestFailure::unavailable(reason))
    }

    fn redirected(&self, request: &Prepared, from: &Url, response: &Response) -> Result<Url, String> {
        let name = RequestLine(&request.method, from);
        let status = response.status();
        let keeps_method = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if request.method != Method::GET && !keeps_method {
            return Err(format!("{name} answered {status}"));
        }
        // Some send UTF-8 as it is; a URL encodes it.
        let location = response.headers().get(LOCATION).map(HeaderValue::as_bytes);
        let location = location.and_then(|location| std::str::from_utf8(location).ok());
        let to = location.and_then(|location| self.joined(from, location).ok());
        let to = to.ok_or_else(|| format!("{name} is redirected to no URL"))?;
        self.same_host(&to)
            .map_err(|host| format!("{name} is redirected to another host, {host}"))?;
        Ok(to)
    }

    /// A URL as an answer from another URL writes it. User and fragment are left out: a user would
    /// replace the configured one, and a fragment is not sent.
    pub(super) fn joined(&self, from: &Url, to: &str) -> Result<Url, url::ParseError> {
        let mut to = from.join(to)?;
        to.set_fragment(None);
        // A URL that is the API's own has a host, so it takes both; another one is refused.
        let _ = (to.set_username(""), to.set_password(None));
        Ok(to)
    }

    /// The same place by the API's own scheme, where only the scheme differs: an API behind a proxy that ends TLS does
    /// not know it.
    pub(super) fn by_own_scheme(&self, mut url: Url) -> Url {
        let has_own_host = url.host() == self.base.host() && (url.port().is_none() || url.port() == self.base.port());
        let is_http = matches!(url.scheme(), "http" | "https");
        if is_http && has_own_host && url.scheme() != self.base.scheme() {
            // From one of the two to the other: both have a host.
            let _ = (url.set_scheme(self.base.scheme()), url.set_port(self.base.port()));
        }
        url
    }

    /// Whether a URL has the API's own scheme, host and port; else what it has.
    pub(super) fn same_host(&self, url: &Url) -> Result<(), String> {
        if url.origin() == self.base.origin() {
            Ok(())
        } else {
            Err(format!("`{}`", url.origin().ascii_serialization()))
        }
    }

    async fn body(&self, name: &RequestLine<'_>, mut response: Response, max: u64) -> Result<Body, RequestFailure> {
        let packed = is_packed(response.headers()).map_err(|()| {
            RequestFailure::unavailable(format!("{name} answered in an encoding that was not asked for"))
        })?;
        let expected = response.content_length().unwrap_or_default();
        if expected > max {
            return Err(too_large(max).into());
        }
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > max => return Err(too_large(max).into()),
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => {
                    let request = name.to_string();
                    return Ok(Body { bytes, packed, request });
                }
                // Reading twice does no harm, by POST neither.
                Err(error) => return Err(RequestFailure::passing(RequestFailed::new(name.0, name.1, error))),
            }
        }
    }
}

/// Whether a body is packed with gzip; an error where it is packed otherwise, or more than once.
fn is_packed(headers: &HeaderMap) -> Result<bool, ()> {
    let mut packed = 0;
    for line in headers.get_all(CONTENT_ENCODING) {
        for coding in line.to_str().map_err(|_| ())?.split(',') {
            match &*coding.trim().to_ascii_lowercase() {
                "" | "identity" => {}
                "gzip" | "x-gzip" => packed += 1,
                _ => return Err(()),
            }
        }
    }
    if packed > 1 { Err(()) } else { Ok(packed == 1) }
}

/// An answer with an error's status.
fn refused(
    name: &RequestLine<'_>,
    status: StatusCode,
    retry_after: Option<Duration>,
    refusal: Option<ApiRefusal>,
) -> RequestFailure {
    let is_passing = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    ) || refusal.as_ref().is_some_and(|refusal| refusal.is_throttled);
    let mut reason = format!("{name} answered {status}");
    if let Some(after) = retry_after.filter(|_| is_passing) {
        let seconds = after.as_secs().saturating_add((after.subsec_nanos() > 0).into());
        reason.push_str(&format!(", and asks to wait {seconds} s"));
    }
    if let Some(said) = refusal.and_then(|refusal| refusal.said) {
        reason.push_str(": ");
        reason.push_str(&said);
    }
    match is_passing {
        true => RequestFailure::Passing {
            source: reason.into(),
            retry_after,
        },
        false => RequestFailure::unavailable(reason),
    }
}

/// A request's name in errors. The query is left out: it is long, and may be a secret.
struct RequestLine<'r>(&'r Method, &'r Url);

impl std::fmt::Display for RequestLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0, self.1.path())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{request} failed")]
struct RequestFailed {
    request: String,
    source: reqwest::Error,
}

impl RequestFailed {
    fn new(method: &Method, url: &Url, error: reqwest::Error) -> Self {
        Self {
            request: RequestLine(method, url).to_string(),
            source: error.without_url(),
        }
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coding_is_read_in_any_case_and_place() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_ENCODING, HeaderValue::from_static(line));
            }
            is_packed(&headers)
        };
        for plain in [&[][..], &[""], &["Identity"], &["identity, identity"]] {
            assert_eq!(of(plain), Ok(false), "{plain:?}");
        }
        for packed in [
            &["gzip"][..],
            &["GZIP"],
            &[" X-GZip "],
            &["identity, gzip"],
            &["identity", "Gzip"],
        ] {
            assert_eq!(of(packed), Ok(true), "{packed:?}");
        }
        for refused in [&["br"][..], &["gzip, gzip"], &["gzip", "gzip"], &["deflate"]] {
            assert_eq!(of(refused), Err(()), "{refused:?}");
        }
    }
}
