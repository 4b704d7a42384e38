//! The description and the program say the same.

use serde_json::json;
use trunkline_directory::Directory;

use crate::support::api::{Api, description};
use crate::support::{Files, TABLE};

#[tokio::test]
async fn everything_that_is_described_is_there() {
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let api = Api { address: directory.http().unwrap(), token: None };
    for (template, methods) in description()["paths"].as_object().unwrap() {
        for method in ["get", "put", "post", "delete"] {
            let is_described = methods[method].is_object();
            let path = template.replace("{version}", "1").replace(['{', '}'], "x");
            let body = ("application/json", "{}".to_owned());
            let (status, text) = api.send(&method.to_uppercase(), &path, Some(body)).await;
            let is_there = status != 405 && !text.contains("there is nothing here");
            assert_eq!(is_there, is_described, "{method} {template}: {status} {text}");
        }
    }
    directory.stop().await;
}

#[test]
fn everything_that_is_there_is_described() {
    let source = include_str!("../../src/http.rs");
    let paths = description()["paths"].as_object().unwrap().clone();
    let mut routes = 0;
    for part in source.split(".route(").skip(1) {
        let path = part.split('"').nth(1).unwrap();
        assert!(paths.contains_key(path), "{path} is not described");
        routes += 1;
    }
    assert_eq!(routes, paths.len());
}

#[tokio::test]
async fn without_tokens_everybody_reads_and_nobody_changes() {
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let api = Api { address: directory.http().unwrap(), token: None };
    assert_eq!(api.get("/v1/gateways").await.1["gateways"].as_array().unwrap().len(), 2);
    assert_eq!(api.get("/v1/prefixes?begins=%2B81469").await.1["prefixes"][0]["prefix"], "+81469");
    assert_eq!(api.get("/v1/prefixes?begins=x").await.0, 400);
    assert_eq!(api.get("/v1/prefixes?beginz=1").await.0, 400);
    assert_eq!(api.get("/v1/changes").await.1["code"], "no_store");
    let (status, why) = api.post("/v1/lookups", json!({ "numbers": ["0469595678", "110"] })).await;
    assert_eq!((status, &why["answers"][0]["result"]), (200, &json!("served")));
    assert_eq!(why["answers"][1]["asked"], "110");
    for (method, path) in [
        ("PUT", "/v1/prefixes/03"),
        ("DELETE", "/v1/gateways/a"),
        ("POST", "/v1/import"),
        ("POST", "/v1/versions/1/roll-back"),
        ("GET", "/v1/tokens"),
    ] {
        let body = (method != "GET").then(|| json!({}));
        let (status, fault) = api.ask(method, path, body).await;
        assert_eq!((status, &fault["code"]), (403, &json!("no_tokens")), "{method} {path}");
    }
    directory.stop().await;
}
