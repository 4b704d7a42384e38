//! Which gateway a call goes through: what the directory says, and what it does not.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::{Gateway, NUMBER, call, callee, configuration, own_address};
use trunkline_directory::Directory;
use trunkline_phone::configuration::Configuration;
use trunkline_phone::engine::{CallError, Wishes};
use trunkline_sip::Rejection;

/// A directory that gives 03 to these gateways, the first of them first.
async fn directory(gateways: &[SocketAddr]) -> (tempfile::TempDir, Directory) {
    let folder = tempfile::tempdir().unwrap();
    let mut table = "gateways:\n".to_owned();
    for (place, gateway) in gateways.iter().enumerate() {
        table += &format!("  g{place}: {{ sip: {gateway} }}\n");
    }
    table += "prefixes:\n  - prefix: '03'\n    gateways:\n";
    for place in 0..gateways.len() {
        table += &format!("      - {{ name: g{place}, order: {} }}\n", 10 * (place + 1));
    }
    std::fs::write(folder.path().join("table.yaml"), table).unwrap();
    let configuration = folder.path().join("directory.yaml");
    let listen = own_address();
    std::fs::write(
        &configuration,
        format!(
            "listen: [\"{listen}:0\"]\nresponse_rate: {{ per_second: 0 }}\ntable: table.yaml\n"
        ),
    )
    .unwrap();
    let directory = Directory::start(&configuration).await.unwrap();
    (folder, directory)
}

fn asking(directory: &Directory) -> Configuration {
    Configuration { directory: directory.listen().to_vec(), ..configuration() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_of_the_directory_is_called() {
    let mut gateway = Gateway::start().await;
    let (_folder, directory) = directory(&[gateway.address]).await;
    let calling = call(asking(&directory), callee(None), Wishes::default());
    let invite = gateway.incoming().await;
    assert_eq!(invite.request_uri.user, NUMBER);
    gateway.endpoint.reject(invite.leg, Rejection::status(486)).unwrap();
    assert!(calling.outcome().await.unwrap_err().to_string().starts_with("busy"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_gateway_is_called_when_the_first_is_full() {
    let (mut full, mut free) = (Gateway::start().await, Gateway::start().await);
    let (_folder, directory) = directory(&[full.address, free.address]).await;
    let calling = call(asking(&directory), callee(None), Wishes::default());
    let invite = full.incoming().await;
    full.endpoint.reject(invite.leg, Rejection::status(503).with_cause(34)).unwrap();
    let invite = free.incoming().await;
    free.endpoint.reject(invite.leg, Rejection::status(486)).unwrap();
    assert!(calling.outcome().await.unwrap_err().to_string().starts_with("busy"));
    full.stop().await;
    free.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_gateway_is_called_when_the_first_is_silent() {
    let silent = std::net::UdpSocket::bind((own_address(), 0)).unwrap();
    let mut gateway = Gateway::start().await;
    let (_folder, directory) = directory(&[silent.local_addr().unwrap(), gateway.address]).await;
    let calling = call(asking(&directory), callee(None), Wishes::default());
    let invite = gateway.incoming().await;
    gateway.endpoint.reject(invite.leg, Rejection::status(486)).unwrap();
    assert!(calling.outcome().await.unwrap_err().to_string().starts_with("busy"));
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_gateway_is_named_and_no_person_is_blamed() {
    let silent = std::net::UdpSocket::bind((own_address(), 0)).unwrap();
    let address = silent.local_addr().unwrap();
    let outcome = call(configuration(), callee(Some(address)), Wishes::default()).outcome().await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, CallError::Silent(_)), "{error}");
    assert_eq!(error.to_string(), format!("the gateway does not answer: {address}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_the_directory_does_not_know_is_told() {
    let (_folder, directory) = directory(&["127.0.0.1:9".parse().unwrap()]).await;
    let mut unknown = callee(None);
    unknown.number = "+81469595678".parse().unwrap();
    let outcome = call(asking(&directory), unknown, Wishes::default()).outcome().await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("no gateway serves this number"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_silent_is_told() {
    let silent = std::net::UdpSocket::bind((own_address(), 0)).unwrap();
    let phone = Configuration { directory: vec![silent.local_addr().unwrap()], ..configuration() };
    let outcome = call(phone, callee(None), Wishes::default()).outcome().await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.starts_with("no gateway: the directory does not answer"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_the_page_names_is_called_without_asking_the_directory() {
    let mut gateway = Gateway::start().await;
    let directory = std::net::UdpSocket::bind((own_address(), 0)).unwrap();
    directory.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let phone =
        Configuration { directory: vec![directory.local_addr().unwrap()], ..configuration() };
    let calling = call(phone, callee(Some(gateway.address)), Wishes::default());
    let invite = gateway.incoming().await;
    gateway.endpoint.reject(invite.leg, Rejection::status(486)).unwrap();
    assert!(calling.outcome().await.is_err());
    assert!(directory.recv(&mut [0; 512]).is_err(), "the directory was asked");
    gateway.stop().await;
}
