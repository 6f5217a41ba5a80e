//! Changes: a shop tells which items have changed, and asks what became of that.

use std::{collections::BTreeMap, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
    web::{Data, Payload},
};
use serde::Serialize;
use utoipa::{ToSchema, openapi::Schema};

use super::answer;
use crate::{
    engine::{Changes, Engine},
    http::{
        problem::{Kind, Problem, ProblemDocument},
        request::{auth::Authorized, body, query::Query, schema},
    },
    listing::{BadChange, Change, ChangeToken, ChangesOutcome},
    telemetry::ChangeSource,
};

/// Bytes of a body, unpacked.
const BODY_BYTES_MAX: u64 = 4 << 20;
/// The longest that a request waits for the outcome.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Changes that were taken, and what became of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangesAnswer {
    /// The token of these changes: ask `GET /v1/changes/{token}` with it, for a day.
    pub change: String,
    /// `accepted`, or `done` where all listings have followed.
    #[schema(schema_with = states)]
    pub state: &'static str,
    /// How many changes they are.
    pub changes: u64,
    /// Families (names with their variants) that were worked on so far.
    pub families: u64,
    /// Families with new generations.
    pub published: u64,
    /// Families in which all is as it was.
    pub unchanged: u64,
    /// Families that were read in full, or will be.
    pub refreshed: u64,
    /// Families that wait for another attempt, or failed, each with the reason.
    pub failed: BTreeMap<String, String>,
}

const ACCEPTED: &str = "accepted";
const DONE: &str = "done";

fn states() -> Schema {
    schema::one_of("`done` where all listings have followed.", [ACCEPTED, DONE])
}

impl ChangesAnswer {
    fn of(token: ChangeToken, outcome: &ChangesOutcome) -> Self {
        let mut answer = Self {
            change: token.to_string(),
            state: if outcome.left == 0 { DONE } else { ACCEPTED },
            changes: outcome.changes,
            families: outcome.more,
            published: 0,
            unchanged: 0,
            refreshed: 0,
            failed: BTreeMap::new(),
        };
        for (family, said) in &outcome.families {
            if outcome.left == 0 && said.starts_with("waiting") {
                // A search for names that failed at first.
                continue;
            }
            answer.families += 1;
            match said.as_str() {
                "published" => answer.published += 1,
                "unchanged" | "not kept" | "pushed" => answer.unchanged += 1,
                said if said.starts_with("read in full") => answer.refreshed += 1,
                said => drop(answer.failed.insert(family.clone(), said.to_owned())),
            }
        }
        answer
    }
}

/// Tells that items have changed, or are gone. Exactly the listings that hold them follow.
///
/// Taken once Redis has them: an origin that is away loses none.
#[utoipa::path(
    post,
    path = "/v1/changes",
    operation_id = "postChanges",
    tag = "writes",
    security(("token" = [])),
    params(schema::WaitParameter),
    request_body(content(
        (schema::ChangeDocuments = "application/json"),
        (String = "application/x-ndjson"),
    ), description = "One change, an array of at most 10,000, or one a line"),
    responses(
        (status = 200, description = "With `wait=true`: all listings have followed", body = ChangesAnswer),
        (status = 202, description = "Taken; listings follow", body = ChangesAnswer),
        (status = 400, description = "Bad parameters, or a body that broke off", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "No token is configured", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 408, description = "The body stopped coming", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 415, description = "Another content type or coding", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 422, description = "A bad change, with its number: none was taken", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away or full, or too many changes wait", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn post_changes(
    _: Authorized,
    request: HttpRequest,
    payload: Payload,
    engine: Data<Engine>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::strict(request.query_string(), &["wait"]);
    let waits = query.flag("wait");
    query.finish().map_err(Problem::parameters)?;
    refuse_other_types(&request)?;
    let body = body::whole(request.headers(), payload, BODY_BYTES_MAX).await?;
    let changes = Change::parse_all(&body, Changes::MAX).map_err(bad_change)?;
    let token = engine.changes.record(&changes, ChangeSource::Api).await?;
    let outcome = match waits {
        // They are taken, even if Redis does not say now what became of them.
        true => engine.changes.outcome_within(token, WAIT_MAX).await.unwrap_or_default(),
        false => None,
    };
    let nothing_yet = ChangesOutcome {
        changes: changes.len() as u64,
        left: 1,
        ..ChangesOutcome::default()
    };
    let outcome = outcome.unwrap_or(nothing_yet);
    let status = if outcome.left == 0 {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let mut response = answer::private(status, &ChangesAnswer::of(token, &outcome));
    if let (StatusCode::ACCEPTED, Ok(location)) = (status, format!("/v1/changes/{token}").try_into()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// The outcome of changes.
///
/// Known for a day. With `wait=true` the answer comes when all listings have followed, or after 30 s.
#[utoipa::path(
    method(get, head),
    path = "/v1/changes/{token}",
    operation_id = "getChanges",
    tag = "writes",
    security(("token" = [])),
    params(schema::ChangeTokenParameter, schema::WaitParameter),
    responses(
        (status = 200, description = "How far they are worked off", body = ChangesAnswer),
        (status = 400, description = "Bad parameters", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 401, description = "No token, or a wrong one", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 403, description = "No token is configured", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 404, description = "No such changes, or they are forgotten", body = ProblemDocument, content_type = "application/problem+json"),
        (status = 503, description = "Redis is away", body = ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn get_changes(
    _: Authorized,
    request: HttpRequest,
    engine: Data<Engine>,
) -> Result<HttpResponse, Problem> {
    let mut query = Query::strict(request.query_string(), &["wait"]);
    let waits = query.flag("wait");
    query.finish().map_err(Problem::parameters)?;
    let unknown = || Problem::new(Kind::UNKNOWN_CHANGES);
    let token = request
        .match_info()
        .get("token")
        .and_then(ChangeToken::parse)
        .ok_or_else(unknown)?;
    let within = if waits { WAIT_MAX } else { Duration::ZERO };
    let outcome = engine
        .changes
        .outcome_within(token, within)
        .await?
        .ok_or_else(unknown)?;
    Ok(answer::private(StatusCode::OK, &ChangesAnswer::of(token, &outcome)))
}

fn refuse_other_types(request: &HttpRequest) -> Result<(), Problem> {
    let given = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let essence = given
        .and_then(|given| given.split(';').next())
        .unwrap_or_default()
        .trim();
    let is_known = ["application/json", "application/x-ndjson"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known));
    match is_known {
        true => Ok(()),
        false => Err(Problem::new(Kind::UNSUPPORTED_MEDIA_TYPE)
            .detail("send application/json, one change or an array, or application/x-ndjson, a change a line")
            .header(header::ACCEPT, "application/json, application/x-ndjson")),
    }
}

fn bad_change(BadChange { number, reason }: BadChange) -> Problem {
    Problem::new(Kind::BAD_CHANGE).detail(reason).line(number as u64)
}
