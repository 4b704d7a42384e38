//! TCP with several queries a connection and its limits; all that is there over HTTP; SIP.

#[path = "http/described.rs"]
mod described;
#[path = "http/page.rs"]
mod page;
#[path = "sip/redirect.rs"]
mod redirect;
#[path = "http/registration.rs"]
mod registration;
#[path = "http/store.rs"]
mod store;
mod support;

use std::net::SocketAddr;
use std::time::Duration;

use support::{Files, TABLE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use trunkline_directory::Directory;

const QUERY: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0\
    \x014\x013\x012\x011\x013\x013\x013\x013\x013\x011\x018\x04e164\x04arpa\0\0\x23\0\x01";

async fn http(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

async fn read_answer(stream: &mut TcpStream) -> Vec<u8> {
    let length = stream.read_u16().await.unwrap();
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await.unwrap();
    answer
}

fn framed(query: &[u8]) -> Vec<u8> {
    let mut framed = (query.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(query);
    framed
}

#[tokio::test]
async fn one_connection_carries_several_queries_in_any_pieces() {
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let mut stream = TcpStream::connect(directory.listen()[0]).await.unwrap();
    stream.set_nodelay(true).unwrap();
    // Three at once, then one octet by octet.
    stream.write_all(&framed(QUERY).repeat(3)).await.unwrap();
    for _ in 0..3 {
        assert_eq!(read_answer(&mut stream).await[..2], QUERY[..2]);
    }
    for octet in framed(QUERY) {
        stream.write_all(&[octet]).await.unwrap();
    }
    assert_eq!(read_answer(&mut stream).await[7], 1);
    directory.stop().await;
}

#[tokio::test]
async fn connections_are_limited_and_idle_ones_closed() {
    let files = Files::new(TABLE);
    files.write_configuration(
        "listen: [127.0.0.1:0]\ntable: table.yaml\ntcp: { connections: 2, idle_s: 1 }\n",
    );
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let server = directory.listen()[0];
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_all(&framed(QUERY)).await.unwrap();
        read_answer(&mut stream).await;
        open.push(stream);
    }
    let mut octet = [0];
    let mut third = TcpStream::connect(server).await.unwrap();
    // Closed at once, and without an answer.
    let closed = timeout(Duration::from_millis(500), third.read(&mut octet)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    let closed = timeout(Duration::from_secs(5), open[0].read(&mut octet)).await.unwrap();
    assert_eq!(closed.unwrap(), 0);
    directory.stop().await;
}

#[tokio::test]
async fn a_network_that_asks_too_fast_is_sent_to_tcp() {
    let files = Files::new(TABLE);
    files.write_configuration(
        "listen: [127.0.0.1:0]\ntable: table.yaml\nudp_workers: 1\n\
         response_rate: { per_second: 1, burst: 2 }\n",
    );
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(directory.listen()[0]).await.unwrap();
    let mut answer = [0; 1232];
    for truncated in [false, false, true] {
        socket.send(QUERY).await.unwrap();
        let length =
            timeout(Duration::from_secs(5), socket.recv(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer[2] & 2 != 0, truncated);
        assert!(!truncated || length <= QUERY.len());
    }
    directory.stop().await;
}

#[tokio::test]
async fn metrics_count_queries_reloads_and_the_table() {
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(directory.listen()[0]).await.unwrap();
    let mut unknown = QUERY.to_vec();
    unknown[33] = b'7';
    let mut answer = [0; 1232];
    for query in [QUERY, QUERY, &unknown, &QUERY[..20]] {
        socket.send(query).await.unwrap();
        timeout(Duration::from_secs(5), socket.recv(&mut answer)).await.unwrap().unwrap();
    }
    files.write_table("gateways: {}\nprefixes: []\nx: y\n");
    directory.reload().await.unwrap_err();
    let (status, metrics) = http(directory.http().unwrap(), "/metrics").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        r#"trunkline_directory_queries_total{rcode="NOERROR",transport="udp"} 2"#,
        r#"trunkline_directory_queries_total{rcode="NXDOMAIN",transport="udp"} 1"#,
        r#"trunkline_directory_queries_total{rcode="NOERROR",transport="tcp"} 0"#,
        r#"trunkline_directory_answers_total{kind="hit",transport="udp"} 2"#,
        r#"trunkline_directory_answers_total{kind="miss",transport="udp"} 1"#,
        r#"trunkline_directory_answers_total{kind="malformed",transport="udp"} 1"#,
        r#"trunkline_directory_reloads_total{result="refused"} 1"#,
        r#"trunkline_directory_reloads_total{result="ok"} 0"#,
        "trunkline_directory_table_entries 2",
        "trunkline_directory_table_gateways 2",
        "trunkline_directory_table_age_seconds 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
    directory.stop().await;
}

#[tokio::test]
async fn lookup_says_why_as_json() {
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let address = directory.http().unwrap();
    let (status, body) = http(address, "/lookup/0469-59-5678").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    let why: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(why["number"], "+81469595678");
    assert_eq!(why["prefix"], "+81469");
    assert_eq!(why["gateways"][0]["name"], "b");
    assert_eq!(why["gateways"][1]["uri"], "sip:+81469595678@127.0.0.10:5060");

    for (path, status, text) in [
        ("/lookup/+4930123456", "404 Not Found", "\"prefix\":null"),
        ("/lookup/110", "400 Bad Request", "short code"),
        ("/lookup/abc", "400 Bad Request", "error"),
        ("/healthz", "200 OK", "2 prefixes"),
    ] {
        let (found, body) = http(address, path).await;
        assert_eq!(found, format!("HTTP/1.1 {status}"), "{path}");
        assert!(body.contains(text), "{path}: {body}");
    }
    directory.stop().await;
}
