//! Answers pages before the router is asked: nearly all requests are for pages, and the router costs as much as a page from L1
//! itself. The same functions answer a page that comes by the [route](super::page::page_route), and [`edge`](crate::http::edge)
//! does for both what every answer passes. A page that is in L1 is answered without a future; any other future is boxed.

use std::{
    cell::RefCell,
    future::{Ready, ready},
    rc::Rc,
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
    engine::{Engine, WorkerReads},
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
    /// The worker itself reads from Redis what is not in L1.
    pub _nearby: WorkerReads,
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
            Some(pages) if is_of_a_page(&request) => match pages.at_once(&request) {
                Ok(answer) => Either::Left(ready(Ok(of_page(answer)))),
                Err((passing, wanted)) => {
                    let pages = pages.clone();
                    Either::Right(Either::Left(Box::pin(async move {
                        Ok(of_page(pages.awaited(&request, passing, wanted).await))
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

/// The spelling that clients use. The router still finds pages in others, such as `/v1/%6Cistings/…`.
fn is_of_a_page(request: &Request) -> bool {
    let name = request.path().strip_prefix(LISTINGS);
    matches!(*request.method(), Method::GET | Method::HEAD)
        && name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

fn of_page<B>(answer: HttpResponse) -> Answer<B> {
    Response::from(answer).map_body(|_, body| EitherBody::left(body))
}

/// The wishes of a request, or the error of its URL.
type Read = Result<Rc<Wanted>, Problem>;

impl Pages {
    /// The answer, where L1 has the page; else what [`awaited`](Self::awaited) needs.
    fn at_once(&self, request: &Request) -> Result<HttpResponse, (Passing, Read)> {
        let (head, engine, edge) = (request.head(), &self.engine, &self.edge);
        let passing = Passing::begin(head, edge);
        let wanted = match passing.refused() {
            Some(refused) => Err(refused),
            None => self.known.borrow_mut().read(&head.uri, engine, self.sizes),
        };
        let answer = wanted.as_ref().ok();
        match answer.and_then(|wanted| page::from_l1(wanted, head, engine, &self.envelopes)) {
            Some(mut answer) => {
                passing.end(head, edge, &mut answer);
                Ok(answer)
            }
            None => Err((passing, wanted)),
        }
    }

    async fn awaited(&self, request: &Request, passing: Passing, wanted: Read) -> HttpResponse {
        let (head, engine, edge) = (request.head(), &self.engine, &self.edge);
        let answer = match wanted {
            Ok(wanted) => page::awaited(&wanted, head, engine, &self.envelopes).await,
            Err(problem) => Err(problem),
        };
        let mut answer = answer.unwrap_or_else(|problem| problem.error_response());
        passing.end(head, edge, &mut answer);
        answer
    }
}
