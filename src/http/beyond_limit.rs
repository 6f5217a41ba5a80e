//! Connections beyond `http.connections_max`.
//!
//! A probe that finds no place takes the service for dead, and an operator who cannot read the metrics does not see why.
//! So [`BEYOND_MAX`] more connections are accepted, for [`BEYOND_FOR`] each. Requests for health and metrics are answered
//! on them; all others are refused.

use std::{
    future::{Ready, ready},
    rc::Rc,
    time::Duration,
};

use actix_http::{Request, Response, body::BoxBody};
use actix_service::Service;
use actix_web::{
    ResponseError,
    body::{EitherBody, MessageBody},
    web::Data,
};
use futures_util::future::Either;

use super::{
    edge::{Edge, Passing},
    problem::{Kind, Problem},
};

/// Connections beyond the limit that are accepted.
pub const BEYOND_MAX: usize = 16;
/// How long one of them lives.
pub(super) const BEYOND_FOR: Duration = Duration::from_secs(1);

/// The service of connections beyond the limit.
pub(super) struct BeyondLimit<S> {
    /// Answers what concerns health and metrics.
    pub service: Rc<S>,
    /// For the headers of a refusal.
    pub edge: Data<Edge>,
}

impl<S, B> Service<Request> for BeyondLimit<S>
where
    S: Service<Request, Response = Response<EitherBody<BoxBody, B>>>,
    B: MessageBody + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<S::Response, S::Error>>>;

    actix_service::forward_ready!(service);

    fn call(&self, request: Request) -> Self::Future {
        if matches!(request.path(), "/health/live" | "/health/ready" | "/metrics") {
            return Either::Left(self.service.call(request));
        }
        let passing = Passing::begin(request.head(), &self.edge);
        let mut refusal = Problem::new(Kind::OVERLOADED)
            .detail("as many connections are open as http.connections_max allows")
            .retry_after(BEYOND_FOR)
            .error_response();
        passing.end(request.head(), &self.edge, &mut refusal);
        let refusal = Response::from(refusal).map_body(|_, body| EitherBody::left(body));
        Either::Right(ready(Ok(refusal)))
    }
}
