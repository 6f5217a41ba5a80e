//! Fixed answers from the same framework, set as the service sets it: the fastest that a handler can be.

use std::{path::Path, process::Command, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpServer,
    http::{
        StatusCode,
        header::{HeaderName, HeaderValue},
    },
    web,
};
use bytes::Bytes;

use super::{Server, own};
use crate::{Outcome, sample::Sample};

/// The argument by which this program is the server.
pub const ARGUMENT: &str = "serve-fixed";

/// What the framework writes by itself.
const BY_THE_FRAMEWORK: [&str; 3] = ["content-length", "date", "connection"];

/// Serves each answer under its number: `/0`, `/1`, …. The command says where it runs, the directory keeps the answers until then.
pub fn start(command: impl FnOnce(&str) -> Command, directory: &Path, answers: &[&Sample]) -> Outcome<Server> {
    let mut arguments = vec![ARGUMENT.to_owned()];
    for (number, answer) in answers.iter().enumerate() {
        let file = directory.join(number.to_string());
        std::fs::write(&file, &answer.raw)?;
        arguments.push(file.display().to_string());
    }
    own::start(command, &arguments)
}

/// An answer, made once.
struct Answer {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

impl Answer {
    fn read(file: &str) -> Outcome<Self> {
        let sample = Sample::of(std::fs::read(file)?)?;
        let headers = sample.headers()?.into_iter();
        let headers = headers.filter(|(name, _)| !BY_THE_FRAMEWORK.contains(&name.as_str()));
        Ok(Self {
            status: StatusCode::from_u16(sample.status()?)?,
            headers: headers
                .map(|(name, value)| Ok((name.parse()?, value.parse()?)))
                .collect::<Outcome<_>>()?,
            body: Bytes::copy_from_slice(sample.body()),
        })
    }
}

/// The child's side.
pub fn run(files: &[String]) -> Outcome<()> {
    let answers = files
        .iter()
        .map(|file| Answer::read(file).map(Arc::new))
        .collect::<Outcome<_>>()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(serve(answers))
}

async fn serve(answers: Vec<Arc<Answer>>) -> Outcome<()> {
    let server = HttpServer::new(move || {
        answers.iter().enumerate().fold(App::new(), |app, (at, answer)| {
            let answer = answer.clone();
            let handler = move || {
                let answer = answer.clone();
                async move { send(&answer) }
            };
            app.route(&format!("/{at}"), web::get().to(handler))
        })
    })
    .workers(1)
    .backlog(1024)
    .keep_alive(std::time::Duration::from_secs(75))
    .h1_write_buffer_size(64 * 1024)
    .tcp_nodelay(true)
    .disable_signals()
    .bind("127.0.0.1:0")?;
    if let Some(address) = server.addrs().first() {
        own::announce(address);
    }
    Ok(server.run().await?)
}

fn send(answer: &Answer) -> HttpResponse {
    let mut response = HttpResponse::build(answer.status);
    for header in &answer.headers {
        response.insert_header(header.clone());
    }
    response.body(answer.body.clone())
}
