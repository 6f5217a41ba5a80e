//! A real HTTP server on a port of its own, which answers as the test says and remembers what it was asked.

use std::{collections::HashMap, net::TcpListener, sync::Arc, thread::JoinHandle, time::Duration};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};
use parking_lot::Mutex;
use serde_json::Value;

/// One request, as the server heard it.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    pub method: String,
    /// As it was sent.
    pub path: String,
    /// Decoded.
    pub query: HashMap<String, String>,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Value,
    /// How many requests came before it.
    pub number: usize,
}

impl ApiRequest {
    /// A number in the query.
    pub fn number_of(&self, name: &str) -> Option<usize> {
        self.query.get(name)?.parse().ok()
    }
}

/// What the server answers.
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    pub delay: Duration,
}

impl ApiAnswer {
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: vec![("content-type", "application/json".to_owned())],
            body: body.into(),
            delay: Duration::ZERO,
        }
    }

    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::json("{}")
        }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Script = dyn Fn(&ApiRequest) -> ApiAnswer + Send + Sync;

struct Shared {
    script: Mutex<Arc<Script>>,
    requests: Mutex<Vec<ApiRequest>>,
}

/// A scripted API. Stopped when dropped.
pub struct Api {
    shared: Arc<Shared>,
    /// `http://127.0.0.1:<port>`.
    pub url: String,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Api {
    pub fn start(script: impl Fn(&ApiRequest) -> ApiAnswer + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            requests: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let data = web::Data::from(shared.clone());
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let served = actix_web::rt::System::new().block_on(async move {
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(data.clone())
                        .app_data(web::PayloadConfig::new(16 << 20))
                        .default_service(web::to(answer))
                })
                .workers(2)
                .disable_signals()
                .shutdown_timeout(0)
                .listen(listener)
                .unwrap()
                .run();
                sender.send(server.handle()).unwrap();
                server.await
            });
            served.unwrap();
        });
        Self {
            shared,
            url,
            handle: receiver.recv().unwrap(),
            thread: Some(thread),
        }
    }

    /// Answers otherwise from here on.
    pub fn script(&self, script: impl Fn(&ApiRequest) -> ApiAnswer + Send + Sync + 'static) {
        *self.shared.script.lock() = Arc::new(script);
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<ApiRequest> {
        self.shared.requests.lock().clone()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // Begun by the call, and ended by the server's own thread.
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, shared: web::Data<Shared>) -> HttpResponse {
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string()).unwrap();
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()));
    let heard = {
        let mut requests = shared.requests.lock();
        let number = requests.len();
        requests.push(ApiRequest {
            method: request.method().to_string(),
            path: request.uri().path().to_owned(),
            query: query.into_inner(),
            headers: headers.collect(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
            number,
        });
        requests.last().unwrap().clone()
    };
    let script = shared.script.lock().clone();
    let answer = script(&heard);
    if !answer.delay.is_zero() {
        actix_web::rt::time::sleep(answer.delay).await;
    }
    let mut response = HttpResponse::build(StatusCode::from_u16(answer.status).unwrap());
    for header in answer.headers {
        response.append_header(header);
    }
    response.body(answer.body)
}
