//! The places of a socket's connections, `http.connections_max`, and what is beyond them.
//!
//! A probe that finds no place takes the service for dead, and an operator who cannot read the metrics does not see why. So a few connections
//! more are accepted, for a moment each: [`BEYOND_MAX`] for [`BEYOND_FOR`]. They are answered where health or metrics are asked for, and
//! refused otherwise.

use std::{
    future::{Ready, ready},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
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
    edge::Passing,
    problem::{Kind, Problem},
    shared::Shared,
};

/// Connections beyond the limit that are accepted.
pub const BEYOND_MAX: usize = 16;
/// How long one of them lives.
pub(super) const BEYOND_FOR: Duration = Duration::from_secs(1);

/// The places of one socket, of all its workers.
#[derive(Debug)]
pub(super) struct Places {
    taken: AtomicUsize,
    max: usize,
}

impl Places {
    /// Without a connection.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            max,
        })
    }

    /// A place for a connection that was accepted.
    pub(super) fn take(self: &Arc<Self>) -> Place {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        Place {
            is_beyond: before >= self.max,
            places: self.clone(),
        }
    }
}

/// One connection's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// Whether the limit was reached before it.
    pub is_beyond: bool,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The service of connections beyond the limit.
pub(super) struct BeyondLimit<S> {
    /// Answers what concerns health and metrics.
    pub service: Rc<S>,
    /// For the headers of a refusal.
    pub shared: Data<Shared>,
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
        let passing = Passing::begin(request.head(), &self.shared);
        let mut refusal = Problem::new(Kind::OVERLOADED)
            .detail("as many connections are open as http.connections_max allows")
            .retry_after(BEYOND_FOR)
            .error_response();
        passing.end(request.head(), &self.shared, &mut refusal);
        let refusal = Response::from(refusal).map_body(|_, body| EitherBody::left(body));
        Either::Right(ready(Ok(refusal)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_beyond_the_limit_is_known_and_places_come_free() {
        let places = Places::new(2);
        let (first, second, third) = (places.take(), places.take(), places.take());
        assert_eq!(
            [&first, &second, &third].map(|place| place.is_beyond),
            [false, false, true]
        );
        drop((first, third));
        assert!(!places.take().is_beyond);
        let _third = places.take();
        assert!(places.take().is_beyond);
    }
}
