//! Tokens for calls from within the page, as a page's script asks for them.

#[allow(dead_code, reason = "the other tests of the site use the rest of it")]
mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::Running;
use serde_json::Value;
use trunkline_number::CallToken;

const CALLS: &str = "\
calls:
  origins: ['https://www.example.com']
  gateways: [{ sip: '127.0.0.10:5060', at: 'https://gw-a.example.com:8443' }]
";

async fn ask(site: &Running, origin: &str, number: &str) -> (u16, Value, Option<String>) {
    let body = format!("number={number}");
    let headers = format!(
        "Origin: {origin}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: {}\r\n",
        body.len()
    );
    let answer = site.say("POST", "/call-token", &headers, &body).await;
    let json = serde_json::from_str(&answer.body).unwrap_or_default();
    (answer.status, json, answer.header("Access-Control-Allow-Origin").map(str::to_owned))
}

#[tokio::test]
async fn a_page_of_ours_gets_a_token_for_its_number_and_the_gateway_to_show_it_to() {
    let site = Running::with(CALLS).await;
    let page = site.fetch("/en").await;
    assert!(page.body.contains("src=\"/call.js\""), "{}", page.body);
    assert!(page.body.contains("data-call=\"+81333331234\""), "{}", page.body);
    let policy = page.header("Content-Security-Policy").unwrap();
    assert!(policy.contains("connect-src 'self' https://gw-a.example.com:8443;"), "{policy}");
    let script = site.fetch("/call.js").await;
    assert_eq!(script.header("Content-Type"), Some("text/javascript; charset=utf-8"));

    let (status, permission, allowed) =
        ask(&site, "https://www.example.com", "%2B81333331234").await;
    assert_eq!((status, allowed.as_deref()), (200, Some("https://www.example.com")));
    assert_eq!(permission["gateways"][0], "https://gw-a.example.com:8443");
    let now_unix_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let text = permission["token"].as_str().unwrap();
    let token = CallToken::verify(text, &[site.public], now_unix_s).unwrap();
    assert_eq!(token.number.to_string(), "+81333331234");
    assert_eq!((token.origin.as_str(), token.longest_s), ("https://www.example.com", 3_600));
    assert!((now_unix_s + 1..=now_unix_s + 61).contains(&token.expires));
    site.stop().await;
}

#[tokio::test]
async fn nobody_else_gets_one_nor_for_another_number() {
    let site = Running::with(CALLS).await;
    for (origin, number, status, reason) in [
        ("https://evil.example", "%2B81333331234", 403, "refused"),
        ("http://www.example.com", "%2B81333331234", 403, "refused"),
        ("https://www.example.com", "110", 403, "refused"),
        ("https://www.example.com", "%2B81909999999", 404, "refused"),
        ("https://www.example.com", "sip:a@b", 400, "failed"),
        // Its gateway is not said to take calls of pages.
        ("https://www.example.com", "%2B81451234567", 503, "gateway"),
    ] {
        let (found, answer, allowed) = ask(&site, origin, number).await;
        assert_eq!((found, answer["reason"].as_str()), (status, Some(reason)), "{origin} {number}");
        assert_eq!(allowed.is_some(), origin == "https://www.example.com");
    }
    site.stop().await;
}
