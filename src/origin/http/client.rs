//! One request to an API: repeated where that may help, redirected within the API's own host only, its answer bounded.

use std::time::{Duration, SystemTime};

use reqwest::{
    Client, Method, Response, StatusCode, Url,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION,
        RETRY_AFTER,
    },
    redirect::Policy,
};
use tokio::time::Instant;

use super::{
    answer::{Body, too_large},
    validator::Validator,
};
use crate::{config::HttpOriginConfig, origin::OriginError};

/// Redirects of one request.
const REDIRECTS_MAX: usize = 4;
/// The wait before the first repetition; doubled with each.
const BACK_OFF_MIN: Duration = Duration::from_millis(200);
/// The longest wait that the API did not ask for.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// Until a connection is there. What hangs longer is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request with all values put in.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub method: Method,
    pub url: Url,
    pub body: Option<Vec<u8>>,
}

/// What an API answered.
pub(super) enum Answer {
    /// A body.
    Found { headers: HeaderMap, body: Body },
    /// 304: what the validator was given for still holds.
    NotModified,
    /// 404.
    NotFound,
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
    pub fn new(config: &HttpOriginConfig) -> Result<Self, OriginError> {
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
            // What a variable of the environment says of proxies is meant for other programs.
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
    pub fn url(&self, target: &str) -> Result<Url, OriginError> {
        let base = self.base.as_str().trim_end_matches('/');
        let url = Url::parse(&format!("{base}{target}"));
        url.map_err(|_| OriginError::Misdeclared(format!("`{target}` is no target of a request")))
    }

    /// Sends a request until it is answered, or repeating it helps no more, or the deadline would pass meanwhile.
    pub async fn send(
        &self,
        request: &Prepared,
        unless: Option<&Validator>,
        deadline: Instant,
    ) -> Result<Answer, OriginError> {
        let mut repeated = 0;
        loop {
            let failure = match self.send_once(request, unless).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(failure)) => failure,
            };
            let wait = back_off(repeated).max(failure.retry_after.unwrap_or_default());
            if repeated >= self.retries || wait >= deadline.saturating_duration_since(Instant::now()) {
                return Err(OriginError::Unavailable(failure.source));
            }
            repeated += 1;
            tracing::debug!(
                error = %failure.source,
                repeated,
                wait_ms = wait.as_millis() as u64,
                "a request to the origin is repeated"
            );
            tokio::time::sleep(wait).await;
        }
    }

    async fn send_once(&self, request: &Prepared, unless: Option<&Validator>) -> Result<Answer, Failure> {
        let name = Named(&request.method, &request.url);
        let response = self.follow(request, unless).await?;
        let status = response.status();
        match status {
            StatusCode::NOT_MODIFIED if unless.is_some() => Ok(Answer::NotModified),
            StatusCode::NOT_FOUND => Ok(Answer::NotFound),
            _ if status.is_success() => {
                let headers = response.headers().clone();
                let body = self.body(&name, response).await?;
                Ok(Answer::Found { headers, body })
            }
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let retry_after = retry_after(response.headers(), SystemTime::now());
                Err(Failure::Passing(PassingFailure {
                    source: name.answered(status, retry_after).into(),
                    retry_after,
                }))
            }
            _ => Err(Failure::Final(OriginError::Unavailable(
                name.answered(status, None).into(),
            ))),
        }
    }

    /// Sends the request and follows redirects, for headers with secrets go along: not to another host.
    async fn follow(&self, request: &Prepared, unless: Option<&Validator>) -> Result<Response, Failure> {
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let mut builder = self.client.request(request.method.clone(), url.clone());
            if let Some(body) = &request.body {
                builder = builder.header(CONTENT_TYPE, "application/json").body(body.clone());
            }
            if let Some(validator) = unless {
                let (name, value) = validator.condition();
                builder = builder.header(name, value);
            }
            let sent = builder.send().await;
            let response = sent.map_err(|error| Failure::passing(RequestFailed::new(&request.method, &url, error)))?;
            if !is_redirect(response.status()) {
                return Ok(response);
            }
            let to = self.redirected(request, &url, &response);
            url = to.map_err(|reason| Failure::Final(OriginError::Unavailable(reason.into())))?;
        }
        let name = Named(&request.method, &request.url);
        let reason = format!("{name} is redirected more than {REDIRECTS_MAX} times");
        Err(Failure::Final(OriginError::Unavailable(reason.into())))
    }

    fn redirected(&self, request: &Prepared, from: &Url, response: &Response) -> Result<Url, String> {
        let name = Named(&request.method, from);
        let status = response.status();
        let keeps_method = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if request.method != Method::GET && !keeps_method {
            return Err(name.answered(status, None));
        }
        let location = response
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok());
        let to = location.and_then(|location| from.join(location).ok());
        let to = to.ok_or_else(|| format!("{name} is redirected to no URL"))?;
        self.same_host(&to)
            .map_err(|host| format!("{name} is redirected to another host, {host}"))?;
        Ok(to)
    }

    /// Whether a URL has the API's own scheme, host and port; else what it has.
    pub fn same_host(&self, url: &Url) -> Result<(), String> {
        if url.origin() == self.base.origin() {
            Ok(())
        } else {
            Err(format!("`{}`", url.origin().ascii_serialization()))
        }
    }

    async fn body(&self, name: &Named<'_>, mut response: Response) -> Result<Body, Failure> {
        let packed = match response.headers().get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
            None | Some(b"identity" | b"") => false,
            Some(b"gzip" | b"x-gzip") => true,
            Some(_) => {
                let reason = format!("{name} answered in an encoding that was not asked for");
                return Err(Failure::Final(OriginError::Unavailable(reason.into())));
            }
        };
        let max = self.response_bytes_max;
        let expected = response.content_length().unwrap_or_default();
        if expected > max {
            return Err(Failure::Final(too_large(max)));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if (bytes.len() + chunk.len()) as u64 > max => {
                    return Err(Failure::Final(too_large(max)));
                }
                Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(None) => return Ok(Body { bytes, packed }),
                // Reading twice does no harm, by POST neither.
                Err(error) => return Err(Failure::passing(RequestFailed::new(name.0, name.1, error))),
            }
        }
    }
}

/// Why a request was not answered as it should be.
enum Failure {
    /// Perhaps it is the next time.
    Passing(PassingFailure),
    Final(OriginError),
}

struct PassingFailure {
    source: Box<dyn std::error::Error + Send + Sync>,
    retry_after: Option<Duration>,
}

impl Failure {
    fn passing(error: RequestFailed) -> Self {
        Self::Passing(PassingFailure {
            source: Box::new(error),
            retry_after: None,
        })
    }
}

/// A request as errors call it. What stands behind `?` is left out: it is long, and may be a secret.
struct Named<'r>(&'r Method, &'r Url);

impl Named<'_> {
    fn answered(&self, status: StatusCode, retry_after: Option<Duration>) -> String {
        match retry_after {
            Some(after) => format!("{self} answered {status}, and asks to wait {} s", after.as_secs()),
            None => format!("{self} answered {status}"),
        }
    }
}

impl std::fmt::Display for Named<'_> {
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
            request: Named(method, url).to_string(),
            source: error.without_url(),
        }
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The wait before a repetition, ±20 %: those that were refused together do not come back together.
fn back_off(repeated: u32) -> Duration {
    let doubled = BACK_OFF_MIN * 2u32.saturating_pow(repeated.min(16));
    doubled.min(BACK_OFF_MAX).mul_f64(0.8 + 0.4 * fastrand::f64())
}

/// Seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = httpdate::parse_http_date(text).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (text, expect) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 09 Sep 2001 01:46:45 GMT", Some(5)),
            ("Sun, 09 Sep 2001 01:46:35 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(retry_after(&headers, now), expect.map(Duration::from_secs), "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn the_wait_doubles_up_to_a_bound() {
        for (repeated, ms) in [(0, 200), (1, 400), (2, 800), (5, 5000), (1000, 5000)] {
            let ms = f64::from(ms);
            for _ in 0..20 {
                let wait = back_off(repeated).as_secs_f64() * 1000.0;
                assert!((ms * 0.79..ms * 1.21).contains(&wait), "{repeated}: {wait}");
            }
        }
    }
}
