//! A service that begins with a warm-up is ready when it is warm, or at its deadline.

use reqwest::StatusCode;

use super::*;
use crate::support::{eventually, service::Service};

async fn readiness(service: &Service) -> (StatusCode, String) {
    let answer = reqwest::get(service.url("/health/ready")).await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn becomes_ready(service: &Service) {
    eventually(async || match readiness(service).await {
        (StatusCode::OK, _) => Ok(()),
        other => Err(other),
    })
    .await;
}

const WARM: &str = "[warm]\non_start = true\ndeadline = \"10m\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_once_everything_is_warm() {
    let shop = Shop::start_with(30, WARM, |request| answer(request).after(Duration::from_millis(100)));
    let service = Service::start(&fs::read_to_string(shop.file()).unwrap());
    let (status, text) = readiness(&service).await;
    assert_eq!(status, 503);
    assert!(text.contains("warming"), "{text}");
    // It answers meanwhile.
    let page = reqwest::get(service.url("/v1/listings/category:C029")).await.unwrap();
    assert_eq!(page.status(), 200);
    becomes_ready(&service).await;
    assert_eq!(shop.reads().len(), 30);
    assert_eq!(shop.api.requests().len(), 30, "each was read once");
    // What is fresh is not read again by the next one.
    let next = Service::start(&fs::read_to_string(shop.file()).unwrap());
    becomes_ready(&next).await;
    assert_eq!(shop.api.requests().len(), 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_start_together_share_the_work() {
    let shop = Shop::start_with(60, WARM, |request| answer(request).after(Duration::from_millis(50)));
    let config = fs::read_to_string(shop.file()).unwrap();
    let services: Vec<_> = (0..3).map(|_| Service::start(&config)).collect();
    for service in &services {
        becomes_ready(service).await;
        assert_eq!(shop.reads().len(), 60, "ready means that all is warm");
    }
    assert_eq!(shop.api.requests().len(), 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_at_its_deadline_and_the_warm_up_goes_on() {
    let config = "[warm]\non_start = true\ndeadline = \"500ms\"\nconcurrency = 1\n";
    let shop = Shop::start_with(40, config, |request| answer(request).after(Duration::from_millis(100)));
    let service = Service::start(&fs::read_to_string(shop.file()).unwrap());
    assert_eq!(readiness(&service).await.0, 503);
    becomes_ready(&service).await;
    assert!(shop.reads().len() < 40);
    eventually(async || match shop.reads().len() {
        40 => Ok(()),
        other => Err(other),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_origin_does_not_give_is_tried_again_until_the_deadline() {
    let shop = Shop::start_with(5, WARM, |request| match number_of(request) {
        2 => ApiAnswer::status(500),
        _ => answer(request),
    });
    let mut service = Service::start(&fs::read_to_string(shop.file()).unwrap());
    eventually(async || match shop.reads().get("/categories/C002") {
        Some(reads) if *reads > 2 => Ok(()),
        other => Err(other.copied()),
    })
    .await;
    assert_eq!(readiness(&service).await.0, 503);
    shop.api.script(answer);
    becomes_ready(&service).await;
    service.terminate();
    assert!(service.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_while_it_warms_up() {
    let shop = Shop::start_with(50, WARM, |request| answer(request).after(Duration::from_millis(200)));
    let mut service = Service::start(&fs::read_to_string(shop.file()).unwrap());
    eventually(async || {
        if shop.api.requests().is_empty() {
            Err(())
        } else {
            Ok(())
        }
    })
    .await;
    service.terminate();
    assert!(service.ended().success());
}
