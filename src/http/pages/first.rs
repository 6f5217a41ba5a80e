//! Pages are nearly all that is asked for: they are answered before the router is asked. The same handler answers them, and
//! what every answer passes ([`edge`](crate::http::edge)) is the same; only what the framework does for any route is left out,
//! which costs as much as a page from L1 itself. One that is in L1 is answered at once, without a future; what is waited for is
//! boxed.

use std::{
    cell::RefCell,
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
};

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

use super::{
    envelope::Envelopes,
    known_urls::{KnownUrls, Wanted},
    page,
};
use crate::{
    engine::{Engine, ReadsNearby},
    http::{
        edge::{Edge, Passing},
        problem::Problem,
        request::query::Sizes,
    },
};

const LISTINGS: &str = "/v1/listings/";

/// The service of a socket that serves pages.
pub(crate) struct PagesFirst<S> {
    /// Answers everything else.
    pub app: S,
    /// Where pages come from; `None` on a socket that has none.
    pub pages: Option<Rc<Pages>>,
}

/// Where the pages of a worker come from.
pub(crate) struct Pages {
    pub engine: Data<Engine>,
    pub edge: Data<Edge>,
    pub sizes: Sizes,
    pub envelopes: Data<Envelopes>,
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
        Ready<Result<Answer<B>, Self::Error>>,
        Either<
            LocalBoxFuture<'static, Result<Answer<B>, Self::Error>>,
            MapOk<S::Future, fn(ServiceResponse<B>) -> Answer<B>>,
        >,
    >;

    actix_service::forward_ready!(app);

    fn call(&self, request: Request) -> Self::Future {
        match &self.pages {
            Some(pages) if is_of_a_page(&request) => match pages.here(&request) {
                Ok(answer) => Either::Left(ready(Ok(of_page(answer)))),
                Err(begun) => {
                    let pages = pages.clone();
                    Either::Right(Either::Left(Box::pin(async move {
                        Ok(of_page(pages.awaited(&request, begun).await))
                    })))
                }
            },
            _ => {
                let from_app: fn(ServiceResponse<B>) -> Answer<B> =
                    |answer| Response::from(answer).map_body(|_, body| EitherBody::right(body));
                Either::Right(Either::Right(self.app.call(request).map_ok(from_app)))
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

fn of_page<B>(answer: HttpResponse) -> Answer<B> {
    Response::from(answer).map_body(|_, body| EitherBody::left(body))
}

/// A page that has to be waited for.
struct Begun {
    passing: Passing,
    wanted: Result<Arc<Wanted>, Problem>,
    page: Option<page::Begun>,
}

impl Pages {
    /// The answer, if nobody has to be waited for; else what [`awaited`](Self::awaited) goes on with.
    fn here(&self, request: &Request) -> Result<HttpResponse, Box<Begun>> {
        let (head, engine, edge) = (request.head(), &self.engine, &self.edge);
        let passing = Passing::begin(head, edge);
        let wanted = match passing.refused() {
            Some(refused) => Err(refused),
            None => self.known.borrow_mut().read(&head.uri, engine, self.sizes),
        };
        let begun = match &wanted {
            Ok(wanted) => page::page_here(wanted, head, engine, &self.envelopes),
            Err(_) => Err(None),
        };
        match begun {
            Ok(mut answer) => {
                passing.end(head, edge, &mut answer);
                Ok(answer)
            }
            Err(page) => Err(Box::new(Begun { passing, wanted, page })),
        }
    }

    async fn awaited(&self, request: &Request, begun: Box<Begun>) -> HttpResponse {
        let (head, engine, edge) = (request.head(), &self.engine, &self.edge);
        let answer = match begun.wanted {
            Ok(wanted) => page::page(&wanted, head, engine, &self.envelopes, begun.page).await,
            Err(problem) => Err(problem),
        };
        let mut answer = answer.unwrap_or_else(|problem| problem.error_response());
        begun.passing.end(head, edge, &mut answer);
        answer
    }
}
