//! The site as a browser meets it.

mod common;

use std::time::{SystemTime, UNIX_EPOCH};

use common::{Answer, Running};
use tokio::io::AsyncWriteExt;
use trunkline_number::{LinkedData, Trust};

fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn linked_data(answer: &Answer) -> LinkedData {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("Content-Type"), Some("application/x-vlf"));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    LinkedData::from_bytes(answer.body.as_bytes()).unwrap()
}

#[tokio::test]
async fn the_page_is_in_the_readers_language() {
    let site = Running::start().await;
    let japanese = site.fetch("/").await;
    assert_eq!((japanese.status, japanese.header("Content-Language")), (200, Some("ja")));
    assert_eq!(japanese.header("Vary"), Some("Accept-Language"));
    assert!(japanese.body.contains("本社"));
    let english = site.ask("GET", "/", "Accept-Language: en-GB,ja;q=0.5\r\n").await;
    assert_eq!(english.header("Content-Language"), Some("en"));
    assert!(english.body.contains("Head office"));
    for (path, words) in [("/ja", "本社"), ("/en", "Head office")] {
        let page = site.ask("GET", path, "Accept-Language: fr\r\n").await;
        assert!(page.status == 200 && page.body.contains(words), "{page:?}");
        assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    }
    site.stop().await;
}

#[tokio::test]
async fn every_number_on_the_page_is_a_link_that_works() {
    let site = Running::start().await;
    let page = site.fetch("/en").await.body;
    for link in [
        "/call/03-3333-1234.vlf",
        "/direct/03-3333-1234.vlf",
        "tel:+81333331234",
        "/call/+81469595678.vlf",
        "tel:+81469595678",
    ] {
        assert!(page.contains(&format!("href=\"{link}\"")), "{link} in {page}");
        if link.starts_with('/') {
            linked_data(&site.fetch(link).await);
        }
    }
    assert!(!page.contains("/direct/+81469595678.vlf"), "no gateway is set for it");
    for path in ["/style.css", "/icon.svg"] {
        assert!(page.contains(path));
        assert_eq!(site.fetch(path).await.status, 200);
    }
    site.stop().await;
}

#[tokio::test]
async fn text_of_the_configuration_is_shown_as_text() {
    let site = Running::start().await;
    let page = site.fetch("/en").await.body;
    assert!(page.contains("Shonan &lt;b&gt;Instruments"));
    assert!(!page.contains("<b>"));
    site.stop().await;
}

#[tokio::test]
async fn linked_data_names_program_and_number_and_is_signed() {
    let site = Running::start().await;
    let before = now_unix_s();
    let answer = site.fetch("/call/03-3333-1234.vlf").await;
    let data = linked_data(&answer);
    assert_eq!(
        answer.header("Content-Disposition"),
        Some("attachment; filename=\"03-3333-1234.vlf\"")
    );
    assert_eq!((data.application(), data.number()), ("trunkline-phone", "03-3333-1234"));
    assert_eq!(data.gateway(), None);
    let expires = data.expires_unix_s().unwrap();
    assert!((before + 60..=now_unix_s() + 60).contains(&expires));
    assert_eq!(data.verify(&[site.public], now_unix_s()), Trust::Trusted);
    site.stop().await;
}

#[tokio::test]
async fn linked_data_names_the_gateway_where_it_is_asked_for() {
    let site = Running::start().await;
    for path in [
        "/direct/03-3333-1234.vlf",
        "/call/03-3333-1234.vlf?gateway",
        "/call/03-3333-1234.vlf?gateway=1",
        "/call?n=03-3333-1234&gateway",
    ] {
        let data = linked_data(&site.fetch(path).await);
        assert_eq!(data.gateway(), Some("127.0.0.10:5060"), "{path}");
        assert_eq!(data.verify(&[site.public], now_unix_s()), Trust::Trusted);
    }
    assert_eq!(site.fetch("/direct/0469-59-5678.vlf").await.status, 404);
    site.stop().await;
}

#[tokio::test]
async fn one_number_answers_to_every_spelling() {
    let site = Running::start().await;
    for path in [
        "/call/0333331234.vlf",
        "/call/+81333331234.vlf",
        "/call/%2B81-3-3333-1234.vlf",
        "/call/%EF%BC%90%EF%BC%93-3333-1234.vlf",
        "/call?n=03-3333-1234",
        "/call?n=+81333331234",
        "/call?n=%2B81333331234",
    ] {
        let answer = site.fetch(path).await;
        assert_eq!(linked_data(&answer).number(), "03-3333-1234", "{path}");
        let disposition = answer.header("Content-Disposition").unwrap();
        assert!(disposition.ends_with("filename=\"03-3333-1234.vlf\""), "{disposition}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_prefix_offers_numbers_that_are_not_on_the_page() {
    let site = Running::start().await;
    let answer = site.fetch("/direct/045-123-4567.vlf").await;
    let data = linked_data(&answer);
    assert_eq!((data.number(), data.gateway()), ("+81451234567", Some("gw-b.example.jp")));
    assert!(answer.header("Content-Disposition").unwrap().contains("\"+81451234567.vlf\""));
    site.stop().await;
}

#[tokio::test]
async fn numbers_that_are_not_offered_get_a_page_that_says_so() {
    let site = Running::start().await;
    for (path, status, japanese, english) in [
        ("/call/03-3333-9999.vlf", 404, "ご案内していません", "We do not offer this number"),
        ("/call/110.vlf", 403, "緊急通報番号", "emergency number"),
        ("/call/+81119.vlf", 403, "緊急通報番号", "emergency number"),
        ("/call?n=0990-123-456", 403, "情報料", "premium-rate"),
        ("/direct/*21.vlf", 403, "特番", "service code"),
        ("/call/hello.vlf", 400, "電話番号として読めません", "(U+0068) at place 1"),
        ("/call/%3Cscript%3E.vlf", 400, "&lt;", "&lt;"),
        ("/call/.vlf", 400, "電話番号として読めません", "no digits"),
        ("/call/0333331234", 404, "ページが見つかりません", "Page not found"),
        ("/call", 400, "電話番号がありません", "No number given"),
        ("/call/%ff.vlf", 400, "アドレス", "encoding is broken"),
        ("/call?n=%ff", 400, "電話番号として読めません", "not a telephone number"),
        ("/call?n=03-3333-1234&n=110", 400, "アドレス", "encoding is broken"),
        ("/call/a/b.vlf", 404, "ページが見つかりません", "Page not found"),
        ("/../../etc/passwd", 404, "ページが見つかりません", "Page not found"),
    ] {
        for (header, words) in
            [("Accept-Language: ja\r\n", japanese), ("Accept-Language: en\r\n", english)]
        {
            let answer = site.ask("GET", path, header).await;
            assert_eq!(answer.status, status, "{path}");
            assert!(answer.body.contains(words), "{path}: {}", answer.body);
            assert!(!answer.body.contains("<script"), "{path}");
            assert_eq!(answer.header("Content-Type"), Some("text/html; charset=utf-8"));
        }
    }
    site.stop().await;
}

#[tokio::test]
async fn over_long_and_broken_requests_are_refused_and_the_site_stays_up() {
    let site = Running::start().await;
    let long = format!("/call/{}.vlf", "0".repeat(2000));
    assert_eq!(site.fetch(&long).await.status, 414);
    assert_eq!(site.fetch(&format!("/call/{}.vlf", "0".repeat(500))).await.status, 400);
    assert_eq!(site.send(b"not http at all\r\n\r\n").await.status, 400);
    let headers = format!("X: {}\r\n", "x".repeat(500_000));
    let mut connection = site.connect().await;
    let request = format!("GET / HTTP/1.1\r\nHost: site\r\n{headers}\r\n");
    // The server may hang up before it has taken everything.
    let _ = connection.write_all(request.as_bytes()).await;
    drop(connection);
    assert_eq!(
        site.ask("POST", "/call/03-3333-1234.vlf", "Content-Length: 0\r\n").await.status,
        405
    );
    assert_eq!(site.fetch("/ja").await.status, 200);
    site.stop().await;
}

#[tokio::test]
async fn head_tells_the_same_headers_without_a_body() {
    let site = Running::start().await;
    for path in ["/", "/ja", "/call/03-3333-1234.vlf", "/nothing"] {
        let (head, full) = (site.ask("HEAD", path, "").await, site.fetch(path).await);
        assert_eq!((head.status, head.body.as_str()), (full.status, ""), "{path}");
        for name in ["Content-Type", "Content-Length", "Content-Disposition"] {
            assert_eq!(head.header(name), full.header(name), "{path} {name}");
        }
    }
    let metrics = site.fetch("/metrics").await.body;
    assert!(
        metrics.contains("trunkline_web_linked_data_total{route=\"directory\"} 1"),
        "{metrics}"
    );
    site.stop().await;
}

#[tokio::test]
async fn every_response_carries_the_security_headers() {
    let site = Running::start().await;
    for path in ["/ja", "/call/03-3333-1234.vlf", "/call/110.vlf", "/nothing", "/style.css"] {
        let answer = site.fetch(path).await;
        let policy = answer.header("Content-Security-Policy").unwrap();
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"), "{path}");
        let permissions = answer.header("Permissions-Policy").unwrap();
        assert!(permissions.contains("microphone=(self)"), "{permissions}");
    }
    site.stop().await;
}

#[tokio::test]
async fn the_metrics_count_what_was_sent_and_refused() {
    let site = Running::start().await;
    for path in [
        "/ja",
        "/call/03-3333-1234.vlf",
        "/direct/03-3333-1234.vlf",
        "/call/110.vlf",
        "/call/x.vlf",
    ] {
        site.fetch(path).await;
    }
    let metrics = site.fetch("/metrics").await.body;
    for line in [
        "trunkline_web_pages_total{language=\"ja\"} 1",
        "trunkline_web_linked_data_total{route=\"directory\"} 1",
        "trunkline_web_linked_data_total{route=\"gateway\"} 1",
        "trunkline_web_linked_data_refused_total{reason=\"emergency\"} 1",
        "trunkline_web_linked_data_refused_total{reason=\"unreadable\"} 1",
        "trunkline_web_responses_total{status=\"200\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    site.stop().await;
}

#[tokio::test]
async fn a_silent_browser_does_not_hold_up_the_end() {
    let site = Running::start().await;
    let mut half = site.connect().await;
    half.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    assert_eq!(site.fetch("/ja").await.status, 200);
    site.stop().await;
}
