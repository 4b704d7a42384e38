//! Reloads while queries run.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use support::{Files, TABLE};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use trunkline_directory::{Directory, DirectoryError, EnumResolver, Resolution, ResolverSettings};

const QUERY: &[u8] = b"\0\0\0\0\0\x01\0\0\0\0\0\0\
    \x014\x013\x012\x011\x013\x013\x013\x013\x013\x011\x018\x04e164\x04arpa\0\0\x23\0\x01";

fn resolver(directory: &Directory) -> EnumResolver {
    let settings =
        ResolverSettings { servers: directory.listen().to_vec(), ..ResolverSettings::default() };
    EnumResolver::new(settings).unwrap()
}

async fn first_host(directory: &Directory, number: &str) -> String {
    // A resolver of its own, so that no earlier answer is remembered.
    match resolver(directory).resolve(&number.parse().unwrap()).await {
        Resolution::Routes(routes) => routes[0].host.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_query_is_lost_during_reloads() {
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let server = directory.listen()[0];
    let ends = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for client in 0..4_u16 {
        let ends = Arc::clone(&ends);
        clients.push(tokio::spawn(async move {
            let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            socket.connect(server).await.unwrap();
            let mut query = QUERY.to_vec();
            let mut answer = [0; 1232];
            let mut answered = 0_u32;
            while !ends.load(Ordering::Relaxed) {
                let id = (client << 12 | (answered as u16 & 0xfff)).to_be_bytes();
                query[..2].copy_from_slice(&id);
                socket.send(&query).await.unwrap();
                let length = timeout(Duration::from_secs(5), socket.recv(&mut answer))
                    .await
                    .expect("a query was not answered")
                    .unwrap();
                assert_eq!(answer[..2], id);
                // NOERROR with one answer from the old or the new table, never anything else.
                assert_eq!((answer[3] & 0xf, answer[7]), (0, 1), "{:?}", &answer[..length]);
                answered += 1;
            }
            answered
        }));
    }
    let other = TABLE.replace("127.0.0.10", "127.0.0.99");
    let broken = TABLE.replace("name: b", "name: c");
    for round in 0..60 {
        match round % 3 {
            0 => files.write_table(&other),
            1 => files.write_table(&broken),
            _ => files.write_table(TABLE),
        }
        assert_eq!(directory.reload().await.is_ok(), round % 3 != 1);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    directory.stop().await;
}

#[tokio::test]
async fn new_table_is_used_and_a_wrong_one_refused_with_line_and_reason() {
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    assert_eq!(first_host(&directory, "+81333331234").await, "127.0.0.10");

    files.write_table(&TABLE.replace("127.0.0.10", "127.0.0.99"));
    directory.reload().await.unwrap();
    assert_eq!(first_host(&directory, "+81333331234").await, "127.0.0.99");

    files.write_table(&TABLE.replace("'03'", "'0x3'"));
    let DirectoryError::Configuration(error) = directory.reload().await.unwrap_err() else {
        panic!("another error");
    };
    assert_eq!(error.line, Some(5));
    assert!(error.path.ends_with("table.yaml"));
    assert!(error.problem.contains("'x'"), "{error}");
    assert_eq!(first_host(&directory, "+81333331234").await, "127.0.0.99");
    directory.stop().await;
}

#[tokio::test]
async fn sockets_are_free_after_the_end() {
    let files = Files::new(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let address = directory.listen()[0];
    let http = directory.http().unwrap();
    let second = {
        files.write_configuration(&format!("listen: ['{address}']\ntable: table.yaml\n"));
        Directory::start(&files.configuration()).await
    };
    assert!(matches!(second, Err(DirectoryError::Listen { .. })), "{second:?}");
    directory.stop().await;
    std::net::UdpSocket::bind(address).unwrap();
    std::net::TcpListener::bind(address).unwrap();
    std::net::TcpListener::bind(http).unwrap();
}
