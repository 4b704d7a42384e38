//! Gateways that come and go, as their callers see it.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use trunkline_directory::client::registrar::connection::{
    Authorities, Endpoint as Address, Registration, RegistrationSettings,
};
use trunkline_directory::fleet::{GroupReport, Report};
use trunkline_directory::gateways::Transport;
use trunkline_directory::wire::{Coming, GroupComing, PrefixComing};
use trunkline_directory::{Directory, EnumResolver, Resolution, ResolverSettings};

use crate::support::api::Api;
use crate::support::{ADMIN, Files, TABLE};

async fn resolve(directory: &Directory, number: &str) -> Resolution {
    let settings =
        ResolverSettings { servers: directory.listen().to_vec(), ..ResolverSettings::default() };
    // A resolver of its own, so that no earlier answer is remembered.
    EnumResolver::new(settings).unwrap().resolve(&number.parse().unwrap()).await
}

async fn hosts(directory: &Directory, number: &str) -> Vec<String> {
    match resolve(directory, number).await {
        Resolution::Routes(routes) => routes.into_iter().map(|route| route.host).collect(),
        Resolution::NoGateway => vec!["none in service".to_owned()],
        Resolution::UnknownNumber => vec!["unknown".to_owned()],
        Resolution::Unavailable(why) => panic!("{why}"),
    }
}

/// Waits for what shall be so within two seconds; how long it took.
async fn until(directory: &Directory, number: &str, wanted: &[&str]) -> Duration {
    let began = Instant::now();
    loop {
        let found = hosts(directory, number).await;
        if found == wanted {
            return began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(2), "{found:?} instead of {wanted:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn coming(sip: &str) -> Value {
    json!({
        "sip": sip, "lease_s": 1,
        "trunk_groups": [{ "name": "osaka", "circuits": 30 }],
        "prefixes": [{ "prefix": "06", "trunk_group": "osaka" }],
    })
}

#[tokio::test]
async fn answers_follow_a_gateway_that_comes_fills_drains_dies_and_leaves() {
    let files = Files::with_tokens(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let api = Api { address: directory.http().unwrap(), token: Some(ADMIN.into()) };
    let number = "+81612345678";
    assert_eq!(hosts(&directory, number).await, ["unknown"]);
    let (status, granted) = api.put("/v1/gateways/o", coming("127.0.0.60:5060")).await;
    assert_eq!(status, 200, "{granted}");
    // Whoever was told so finds it so.
    assert_eq!(hosts(&directory, number).await, ["127.0.0.60"]);
    let lease = granted["lease"].as_str().unwrap().to_owned();
    let report = async |body: Value| {
        let mut body = body;
        body["lease"] = json!(lease);
        assert_eq!(api.post("/v1/gateways/o/report", body).await.0, 204);
    };
    report(json!({ "trunk_groups": [{ "free": 0 }] })).await;
    until(&directory, number, &["none in service"]).await;
    let (_, why) = api.get("/lookup/06-1234-5678").await;
    assert_eq!(why["result"], "no_gateway");
    assert_eq!(why["left_out"], json!([{ "name": "o", "reason": "full" }]));
    report(json!({ "trunk_groups": [{ "free": 3 }] })).await;
    until(&directory, number, &["127.0.0.60"]).await;
    report(json!({ "trunk_groups": [{ "free": 3, "alarmed": true }], "alarms": ["span 1"] })).await;
    until(&directory, number, &["none in service"]).await;
    assert_eq!(api.get("/v1/gateways/o").await.1["standing"], "alarmed");
    report(json!({ "trunk_groups": [{ "free": 3 }] })).await;
    assert_eq!(api.put("/v1/gateways/o/drain", json!({ "drain": true })).await.0, 204);
    assert_eq!(hosts(&directory, number).await, ["none in service"]);
    assert_eq!(api.put("/v1/gateways/o/drain", json!({ "drain": false })).await.0, 204);
    report(json!({ "trunk_groups": [{ "free": 3 }] })).await;
    assert_eq!(hosts(&directory, number).await, ["127.0.0.60"]);
    // Its lease is one second.
    let died = until(&directory, number, &["none in service"]).await;
    assert!(died >= Duration::from_millis(800), "{died:?}");
    let late = json!({ "lease": lease, "trunk_groups": [{ "free": 3 }] });
    assert_eq!(api.post("/v1/gateways/o/report", late).await.1["code"], "no_lease");
    let (_, granted) = api.put("/v1/gateways/o", coming("127.0.0.61:5060")).await;
    assert_eq!(hosts(&directory, number).await, ["127.0.0.61"]);
    let path = format!("/v1/gateways/o?lease={}", granted["lease"].as_str().unwrap());
    assert_eq!(api.delete(&path).await.0, 204);
    assert_eq!(hosts(&directory, number).await, ["unknown"]);
    // The operator's own gateways stand as ever, and can be drained.
    assert_eq!(api.put("/v1/gateways/b/drain", json!({ "drain": true })).await.0, 204);
    assert_eq!(hosts(&directory, "+81469595678").await, ["127.0.0.10"]);
    directory.stop().await;
}

#[tokio::test]
async fn token_registers_only_its_gateway_and_mistakes_are_told() {
    let files = Files::with_tokens(TABLE);
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let admin = Api { address: directory.http().unwrap(), token: Some(ADMIN.into()) };
    let nobody = Api { token: None, ..admin.clone() };
    let own = Api { token: Some(crate::support::GATEWAY_O.into()), ..admin.clone() };
    assert_eq!(nobody.get("/v1/gateways").await.0, 401);
    assert_eq!(nobody.get("/lookup/0312345678").await.0, 401);
    assert_eq!(nobody.get("/healthz").await.0, 200);
    assert_eq!(own.put("/v1/gateways/o", coming("127.0.0.60")).await.0, 200);
    assert_eq!(own.put("/v1/gateways/p", coming("127.0.0.61")).await.0, 403);
    assert_eq!(own.get("/v1/gateways").await.0, 403);
    assert_eq!(own.put("/v1/gateways/o/drain", json!({ "drain": true })).await.0, 403);
    for (change, status, text) in [
        (json!({ "sip": "a b" }), 400, "no host"),
        (json!({ "prefixes": [{ "prefix": "6" }] }), 400, "neither + nor"),
        (json!({ "prefixes": [{ "prefix": "06", "trunk_group": "x" }] }), 400, "trunk group"),
        (json!({ "prefixes": [{ "prefix": "06" }, { "prefix": "+816" }] }), 400, "twice"),
        (json!({ "lease_s": -1 }), 422, "lease_s"),
        (json!({ "gatway": 1 }), 422, "gatway"),
        (json!({ "sip": "127.0.0.9" }), 409, "alive at"),
    ] {
        let mut body = coming("127.0.0.60");
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (found, fault) = admin.put("/v1/gateways/o", body).await;
        assert_eq!(found, status, "{fault}");
        assert!(fault["error"].as_str().unwrap().contains(text), "{fault}");
    }
    let (status, fault) = admin.put("/v1/gateways/a", coming("127.0.0.99")).await;
    assert_eq!((status, &fault["code"]), (409, &json!("name_taken")));
    assert_eq!(admin.put("/v1/gateways/z", json!({ "sip": "z" })).await.1["code"], "no_store");
    directory.stop().await;
}

fn settings(directories: Vec<Address>, authorities: Option<Authorities>) -> RegistrationSettings {
    RegistrationSettings {
        directories,
        token: crate::support::GATEWAY_O.into(),
        name: "o".into(),
        coming: Coming {
            sip: "127.0.0.60:5060".into(),
            transport: Transport::Udp,
            lease_s: Some(1),
            trunk_groups: vec![GroupComing { name: "osaka".into(), circuits: 30 }],
            prefixes: vec![PrefixComing {
                prefix: "+816".into(),
                trunk_group: None,
                order: 10,
                preference: 10,
                weight: 1,
            }],
        },
        authorities,
    }
}

fn free(free: u32) -> Report {
    Report { groups: vec![GroupReport { free, alarmed: false }], ..Report::default() }
}

#[tokio::test]
async fn registrar_keeps_two_directories_informed_and_one_may_restart() {
    let (files, others) = (Files::with_tokens(TABLE), Files::with_tokens(TABLE));
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let other = Directory::start(&others.configuration()).await.unwrap();
    let address =
        |own: &Directory| Address::read(&format!("http://{}", own.http().unwrap())).unwrap();
    let both = vec![address(&directory), address(&other)];
    let registration = Registration::start(settings(both, None), free(30));
    let number = "+81612345678";
    until(&directory, number, &["127.0.0.60"]).await;
    until(&other, number, &["127.0.0.60"]).await;
    registration.tell(free(0));
    let seen = until(&directory, number, &["none in service"]).await;
    assert!(seen < Duration::from_millis(500), "{seen:?}");
    registration.tell(free(30));
    until(&other, number, &["127.0.0.60"]).await;
    // Longer than the lease: it is kept alive.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(hosts(&directory, number).await, ["127.0.0.60"]);
    // Without a store a directory forgets its gateways; they come again by themselves.
    let http = other.http().unwrap();
    other.stop().await;
    others.write_configuration_with(&format!("listen: [127.0.0.1:0]\nhttp: '{http}'\n"));
    let other = Directory::start(&others.configuration()).await.unwrap();
    until(&other, number, &["127.0.0.60"]).await;
    assert_eq!(hosts(&directory, number).await, ["127.0.0.60"]);
    registration.leave().await;
    assert_eq!(hosts(&directory, number).await, ["unknown"]);
    assert_eq!(hosts(&other, number).await, ["unknown"]);
    directory.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn registration_is_encrypted_and_the_certificate_checked() {
    let files = Files::with_tokens(TABLE);
    let folder = files.folder();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=directory", "-keyout", "key.pem"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-out", "certificate.pem"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    files.write_configuration_with(
        "listen: [127.0.0.1:0]\nhttp: 127.0.0.1:0\n\
         http_tls: { certificate: certificate.pem, key: key.pem }\n",
    );
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let address =
        || vec![Address::read(&format!("https://{}", directory.http().unwrap())).unwrap()];
    let authorities = Authorities::read(&folder.join("certificate.pem")).unwrap();
    // Somebody who connects and says nothing holds nobody up.
    let _silent = std::net::TcpStream::connect(directory.http().unwrap()).unwrap();
    let registration = Registration::start(settings(address(), Some(authorities)), free(30));
    let number = "+81612345678";
    until(&directory, number, &["127.0.0.60"]).await;
    registration.leave().await;
    assert_eq!(hosts(&directory, number).await, ["unknown"]);
    // Who trusts others does not tell this one its token.
    let others = std::path::Path::new("/etc/ssl/certs/ca-certificates.crt");
    let authorities = Authorities::read(others).unwrap();
    let registration = Registration::start(settings(address(), Some(authorities)), free(30));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(registration.count(), (0, 1));
    assert_eq!(hosts(&directory, number).await, ["unknown"]);
    directory.stop().await;
}
