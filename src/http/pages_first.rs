//! Pages are nearly all that is asked for: they are answered before the router is asked. The same handler answers them, and
//! what every answer passes ([`edge`](super::edge)) is the same; only what the framework does for any route is left out,
//! which costs as much as a page from L1 itself.

use std::{cell::RefCell, rc::Rc};

use actix_http::{Request, Response, body::BoxBody};
use actix_service::Service;
use actix_web::{
    HttpResponse, ResponseError,
    body::{EitherBody, MessageBody},
    dev::ServiceResponse,
    http::Method,
    web::Data,
};
use futures_util::future::{Either, LocalBoxFuture, MapOk, TryFutureExt};

use super::{edge::Passing, listings, shared::Shared, wanted::KnownUrls};
use crate::engine::{Engine, ReadsNearby};

const LISTINGS: &str = "/v1/listings/";

/// The service of a socket that serves pages.
pub struct PagesFirst<S> {
    /// Answers everything else.
    pub app: S,
    /// Where pages come from; `None` on a socket that has none.
    pub pages: Option<Rc<Pages>>,
}

/// Where the pages of a worker come from.
pub struct Pages {
    pub engine: Data<Engine>,
    pub shared: Data<Shared>,
    pub known: RefCell<KnownUrls>,
    /// What is not in L1 is read by the worker itself.
    pub _nearby: ReadsNearby,
}

type Answer<B> = Response<EitherBody<BoxBody, B>>;

impl<S, B> Service<Request> for PagesFirst<S>
where
    S: Service<Request, Response = ServiceResponse<B>>,
    S::Error: 'static,
    B: MessageBody + 'static,
{
    type Response = Answer<B>;
    type Error = S::Error;
    type Future = Either<
        LocalBoxFuture<'static, Result<Answer<B>, Self::Error>>,
        MapOk<S::Future, fn(ServiceResponse<B>) -> Answer<B>>,
    >;

    actix_service::forward_ready!(app);

    fn call(&self, request: Request) -> Self::Future {
        match &self.pages {
            Some(pages) if is_of_a_page(&request) => {
                let pages = pages.clone();
                Either::Left(Box::pin(async move {
                    let answer = pages.answer(&request).await;
                    Ok(Response::from(answer).map_body(|_, body| EitherBody::left(body)))
                }))
            }
            _ => {
                let from_app: fn(ServiceResponse<B>) -> Answer<B> =
                    |answer| Response::from(answer).map_body(|_, body| EitherBody::right(body));
                Either::Right(self.app.call(request).map_ok(from_app))
            }
        }
    }
}

/// What the router would lead to the handler of pages; what else it would, in another spelling, it still does.
fn is_of_a_page(request: &Request) -> bool {
    let name = request.path().strip_prefix(LISTINGS);
    matches!(*request.method(), Method::GET | Method::HEAD)
        && name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

impl Pages {
    async fn answer(&self, request: &Request) -> HttpResponse {
        let (head, engine, shared) = (request.head(), &self.engine, &self.shared);
        let passing = Passing::begin(head, shared);
        let wanted = match passing.refused() {
            Some(refused) => Err(refused),
            None => self.known.borrow_mut().read(&head.uri, engine, shared.sizes),
        };
        let answer = match wanted {
            Ok(wanted) => listings::page(&wanted, head, engine, shared).await,
            Err(problem) => Err(problem),
        };
        let mut answer = answer.unwrap_or_else(|problem| problem.error_response());
        passing.end(head, shared, &mut answer);
        answer
    }
}
