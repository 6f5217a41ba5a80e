//! The route of webhooks.

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Payload},
};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    events::changes_in,
    hook::{Hook, Hooks},
};
use crate::{
    engine::{Changes, Engine},
    http::{
        api::answer,
        problem::{Kind, Problem, ProblemDocument},
        request::{body, schema},
    },
    telemetry::ChangeSource,
};

/// Bytes of a body.
const BODY_BYTES_MAX: u64 = 1 << 20;
/// When to come back where too many bodies are read at once.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// A webhook was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HookAnswer {
    /// How many items it says to have changed, or to be gone. 0: nothing is recorded.
    pub changes: u64,
}

/// Takes a webhook. Exactly the listings that hold its items follow.
///
/// The sender signs the body: HMAC-SHA256 over its bytes as they are sent, in the header that the configuration names. Taken once Redis has
/// the changes; a sender that gets 503 sends again, which does no harm.
#[utoipa::path(
    post,
    path = "/v1/hooks/{hook}",
    operation_id = "postHook",
    tag = "hooks",
    params(schema::HookParameter),
    request_body(content = Object, content_type = "application/json", description = "The sender's own: an event, or an array of events, at most 1 MiB"),
    responses(
        (status = 202, description = "Taken; listings follow", body = HookAnswer),
        (status = 400, description = "The body is no JSON, or broke off", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No signature, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such hook", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "The body stopped coming", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "The body has a coding", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "More than 10,000 items: none was taken", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away or full, or too many changes or bodies wait", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post_hook(
    request: HttpRequest,
    payload: Payload,
    hooks: Data<Hooks>,
    engine: Data<Engine>,
) -> Result<HttpResponse, Problem> {
    let name = request.match_info().get("hook").unwrap_or_default();
    let hook = hooks.find(name).ok_or_else(|| Problem::new(Kind::UNKNOWN_HOOK))?;
    let headers = request.headers();
    let refused = |why| refuse(&engine, &hook, why);
    // Strangers need not send a body.
    let signature = hook
        .signature_in(headers)
        .ok_or_else(|| refused("there is no signature that could be right"))?;
    let body = {
        let _place = hooks
            .place()
            .ok_or_else(|| Problem::new(Kind::OVERLOADED).retry_after(BUSY_FOR))?;
        let body = body::whole_as_sent(headers, payload, BODY_BYTES_MAX).await?;
        if !hook.has_signed(&signature, &body) {
            return Err(refused("the signature is wrong"));
        }
        body
    };
    let document: Value = serde_json::from_slice(&body).map_err(|error| {
        // Says where, and nothing of the body.
        let (line, column) = (error.line(), error.column());
        Problem::new(Kind::BAD_REQUEST).detail(format!("the body is no JSON: line {line}, column {column}"))
    })?;
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let changes = changes_in(&document, &hook.config, header);
    if changes.len() > Changes::MAX {
        return Err(Problem::new(Kind::BAD_CHANGE).detail(format!("more than {} items", Changes::MAX)));
    }
    if changes.is_empty() {
        tracing::debug!(
            hook = name,
            "a webhook has no id where the configuration says: nothing is recorded"
        );
    } else {
        engine.changes.record_silently(&changes, ChangeSource::Webhook).await?;
    }
    let answer = HookAnswer {
        changes: changes.len() as u64,
    };
    Ok(answer::private(StatusCode::ACCEPTED, &answer))
}

fn refuse(engine: &Engine, hook: &Hook, why: &str) -> Problem {
    engine.metrics.hooks_refused.inc();
    let header = &hook.config.signature.header;
    tracing::warn!(
        hook = &*hook.config.name,
        header = &**header,
        "a webhook was refused: {why}"
    );
    Problem::new(Kind::BAD_SIGNATURE)
        .detail(why)
        .header(header::WWW_AUTHENTICATE, format!("HMAC-SHA256 header=\"{header}\""))
}
