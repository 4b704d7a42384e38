//! The resolver against real and failing directories.

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::{Files, TABLE};
use tokio::net::UdpSocket;
use trunkline_directory::{
    Directory, EnumResolver, Resolution, ResolverSettings, SipTransport, Unavailable,
};
use trunkline_number::E164;

fn resolver(servers: &[SocketAddr]) -> EnumResolver {
    EnumResolver::new(ResolverSettings {
        servers: servers.to_vec(),
        attempt_timeout: Duration::from_millis(300),
        total_timeout: Duration::from_millis(1500),
        ..ResolverSettings::default()
    })
    .unwrap()
}

fn number(text: &str) -> E164 {
    text.parse().unwrap()
}

async fn directory(table: &str) -> (Files, Directory) {
    let files = Files::new(table);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    (files, directory)
}

fn hosts(resolution: Resolution) -> Vec<String> {
    match resolution {
        Resolution::Routes(routes) => routes.into_iter().map(|route| route.host).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn both_areas_of_the_patent_lead_to_their_gateways() {
    let (_files, directory) = directory(TABLE).await;
    let resolver = resolver(directory.listen());
    let Resolution::Routes(routes) = resolver.resolve(&number("+81333331234")).await else {
        panic!("no route");
    };
    assert_eq!(routes.len(), 1);
    assert_eq!(routes[0].uri, "sip:+81333331234@127.0.0.10:5060");
    assert_eq!(
        (routes[0].host.as_str(), routes[0].port, routes[0].transport),
        ("127.0.0.10", 5060, SipTransport::Udp)
    );
    assert_eq!(
        hosts(resolver.resolve(&number("+81469595678")).await),
        ["127.0.0.20", "127.0.0.10"]
    );
    assert_eq!(resolver.resolve(&number("+4930123456")).await, Resolution::UnknownNumber);
    assert_eq!(resolver.resolve(&number("+81")).await, Resolution::UnknownNumber);
    directory.stop().await;
}

#[tokio::test]
async fn answer_too_long_for_udp_is_fetched_over_tcp() {
    let mut table = String::from("gateways:\n");
    let mut choices = Vec::new();
    for index in 0..30 {
        table.push_str(&format!("  g{index}: {{ sip: 'gateway-{index}.example.net:5060' }}\n"));
        choices.push(format!("{{ name: g{index}, order: {index} }}"));
    }
    table.push_str(&format!(
        "prefixes:\n  - prefix: '03'\n    gateways: [{}]\n",
        choices.join(", ")
    ));
    let (_files, directory) = directory(&table).await;
    let hosts = hosts(resolver(directory.listen()).resolve(&number("+81333331234")).await);
    assert_eq!(hosts.len(), 30);
    assert_eq!(hosts[29], "gateway-29.example.net");
    directory.stop().await;
}

#[tokio::test]
async fn silent_and_dead_servers_are_passed_over() {
    let (_files, directory) = directory(TABLE).await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let servers = [dead, silent.local_addr().unwrap(), directory.listen()[0]];
    let started = Instant::now();
    assert_eq!(hosts(resolver(&servers).resolve(&number("+81333331234")).await), ["127.0.0.10"]);
    // The silent one costs its 300 ms, the dead one nothing to speak of.
    assert!(started.elapsed() < Duration::from_millis(1000), "{:?}", started.elapsed());
    directory.stop().await;
}

#[tokio::test]
async fn lost_packet_is_asked_again() {
    let (_files, directory) = directory(TABLE).await;
    let server = directory.listen()[0];
    let proxy = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let relay = tokio::spawn(async move {
        let upstream = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut octets = [0; 1500];
        // The first query is lost.
        proxy.recv_from(&mut octets).await.unwrap();
        let (length, client) = proxy.recv_from(&mut octets).await.unwrap();
        upstream.send_to(&octets[..length], server).await.unwrap();
        let length = upstream.recv(&mut octets).await.unwrap();
        // A guessed answer with another id comes first.
        let mut forged = octets;
        forged[0] ^= 1;
        proxy.send_to(&forged[..length], client).await.unwrap();
        proxy.send_to(&octets[..length], client).await.unwrap();
    });
    assert_eq!(hosts(resolver(&[address]).resolve(&number("+81333331234")).await), ["127.0.0.10"]);
    relay.await.unwrap();
    directory.stop().await;
}

#[tokio::test]
async fn without_an_answer_the_reason_is_told_in_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_files, directory) = directory(TABLE).await;
    let elsewhere = EnumResolver::new(ResolverSettings {
        servers: directory.listen().to_vec(),
        apex: "example.org".into(),
        ..ResolverSettings::default()
    })
    .unwrap();
    let number = number("+81333331234");
    let started = Instant::now();
    for (resolver, reason) in [
        (resolver(&[]), Unavailable::NoServer),
        (resolver(&[dead]), Unavailable::Network(std::io::ErrorKind::ConnectionRefused)),
        (resolver(&[silent.local_addr().unwrap()]), Unavailable::Silent),
        (elsewhere, Unavailable::Refused(5)),
    ] {
        assert_eq!(resolver.resolve(&number).await, Resolution::Unavailable(reason));
    }
    assert!(started.elapsed() < Duration::from_millis(2500), "{:?}", started.elapsed());
    directory.stop().await;
}

#[tokio::test]
async fn answer_is_remembered_while_its_ttl_lasts() {
    let (_files, directory) = directory(TABLE).await;
    let resolver = resolver(directory.listen());
    let number = number("+81333331234");
    let first = resolver.resolve(&number).await;
    directory.stop().await;
    assert_eq!(resolver.resolve(&number).await, first);
}

#[test]
fn apex_that_is_no_domain_is_refused() {
    let long = ["abcdefghi"; 24].join(".");
    for apex in ["a..b", long.as_str()] {
        let settings = ResolverSettings { apex: apex.into(), ..ResolverSettings::default() };
        assert_eq!(EnumResolver::new(settings).unwrap_err().apex, apex);
    }
}
