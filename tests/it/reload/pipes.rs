//! Files that are pipes without a writer: a read of one would wait for good.

use std::path::PathBuf;

use super::*;

/// A service, and a pipe that nobody writes to.
async fn with_a_pipe(redis: &RedisServer, api: &Api) -> (Service, String, PathBuf) {
    let good = config(redis, api, &listing("a", &format!("{QUERY}\n{PRICE}")));
    let service = Service::start(&good);
    let pipe = service.file("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    (service, good, pipe)
}

/// The reload that found the pipe is refused, and the next one is taken.
async fn is_refused_and_goes_on(service: &Service, error: &str, good: &str) {
    eventually(async || match health(service).await {
        health if health["state"] == "refused" && health["errors"][0] == error => Ok(()),
        health => Err(health),
    })
    .await;
    // One more listing: a file that loses some is a question of its own.
    service.reconfigure(&format!("{good}{}", listing("b", &format!("{QUERY}\n{PRICE}"))));
    is_current(service).await;
    assert_eq!(get(service, "/v1/listings/b:A").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_a_pipe_without_a_writer_blocks_no_reload() {
    let (redis, api) = (RedisServer::start(), Api::start(items));
    let (service, good, pipe) = with_a_pipe(&redis, &api).await;
    let pipe = pipe.display();
    service.reconfigure(&format!(
        "{good}\n[http]\ntls_certificate = '{pipe}'\ntls_key = 'none'\n"
    ));
    is_refused_and_goes_on(&service, "http.tls_certificate", &good).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_a_pipe_without_a_writer_blocks_no_reload() {
    let (redis, api) = (RedisServer::start(), Api::start(items));
    let (service, good, pipe) = with_a_pipe(&redis, &api).await;
    let file = service.file("listcache.toml");
    fs::rename(&pipe, &file).unwrap();
    service.hang_up();
    // Removed only then: a writer would wait for a reader.
    eventually(async || match health(&service).await {
        health if health["state"] == "refused" => fs::remove_file(&file).map_err(|error| error.to_string()),
        health => Err(health.to_string()),
    })
    .await;
    is_refused_and_goes_on(&service, file.to_str().unwrap(), &good).await;
}
