//! A session of an API, such as a point in time of Elasticsearch: opened before a read, closed after it, however that ends.

use std::time::Duration;

use reqwest::Method;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout};

use super::{
    answer,
    client::{Answer, ApiClient, Prepared},
    values::{BoundValue, Values},
};
use crate::{
    config::{HttpOriginConfig, RequestMethod, RequestTemplate, SessionConfig},
    origin::OriginError,
};

/// How long closing may take. A session that is not closed ends by itself: sessions have a life that the API gives them.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// An open session. Dropping it closes it.
pub(super) struct ApiSession {
    client: ApiClient,
    id: Box<RawValue>,
    close: Option<RequestTemplate>,
}

impl ApiSession {
    pub(super) async fn open(
        client: &ApiClient,
        config: &HttpOriginConfig,
        session: &SessionConfig,
        deadline: Instant,
    ) -> Result<Self, OriginError> {
        let request = prepare(client, &session.open, &Values::default())?;
        let mut attempts = client.attempts(deadline);
        let id = loop {
            match client.send(&request, None, &mut attempts).await? {
                Answer::Found(found) => match answer::session_id(found.body, config, &session.id) {
                    Ok(id) => break id,
                    Err(failure) => attempts.again(failure.not_before(&found.headers)).await?,
                },
                Answer::NotFound | Answer::NotModified => {
                    let reason = format!("{} {} was not found", request.method, request.url.path());
                    return Err(OriginError::Unavailable(reason.into()));
                }
            }
        };
        Ok(Self {
            client: client.clone(),
            id,
            close: session.close.clone(),
        })
    }

    /// The API gave another id; only the newest one is to be used, and closed.
    pub(super) fn renew(&mut self, id: Box<RawValue>) {
        self.id = id;
    }

    /// The value `:session`.
    pub(super) fn value(&self) -> BoundValue {
        BoundValue::Json(self.id.get().into())
    }
}

impl Drop for ApiSession {
    /// A read that is given up is dropped, so this is the one place that all of them pass.
    fn drop(&mut self) {
        let Some(close) = self.close.take() else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let mut values = Values::default();
        values.set("session", self.value());
        let client = self.client.clone();
        runtime.spawn(async move {
            let Ok(request) = prepare(&client, &close, &values) else {
                return;
            };
            let mut attempts = client.attempts(Instant::now() + CLOSE_TIMEOUT);
            match timeout(CLOSE_TIMEOUT, client.send(&request, None, &mut attempts)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a session of the origin was not closed"),
                Err(_) => tracing::debug!("a session of the origin was not closed in time"),
            }
        });
    }
}

/// A request with its values put in.
pub(super) fn prepare(
    client: &ApiClient,
    template: &RequestTemplate,
    values: &Values,
) -> Result<Prepared, OriginError> {
    Ok(Prepared {
        method: match template.method {
            RequestMethod::Get => Method::GET,
            RequestMethod::Post => Method::POST,
            RequestMethod::Delete => Method::DELETE,
        },
        url: client.url(&values.target(template)?)?,
        body: values.body(template),
    })
}
