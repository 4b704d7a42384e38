//! Tables that are changed over HTTP: imported, changed, brought back, and there after a restart.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use trunkline_directory::Directory;

use crate::support::api::Api;
use crate::support::{ADMIN, Files};

const CSV: &str = "\
prefix,gateway,order,preference,weight,capacity,hours,rn,npdi
+813,a,10,10,1,,,,
+81469,b,10,10,1,,,,
+81469,a,20,10,1,,,,
+81333331234,b,10,10,1,,,+81399990000,true
";

async fn start(files: &Files) -> (Directory, Api) {
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let address = directory.http().unwrap();
    (directory, Api { address, token: Some(ADMIN.into()) })
}

async fn import(api: &Api, csv: &str) -> (u16, Value) {
    let (status, text) = api.send("POST", "/v1/import", Some(("text/csv", csv.to_owned()))).await;
    (status, serde_json::from_str(&text).unwrap())
}

async fn first(api: &Api, number: &str) -> Value {
    api.get(&format!("/lookup/{number}")).await.1["gateways"][0]["name"].clone()
}

async fn with_gateways(files: &Files) -> (Directory, Api) {
    let (directory, api) = start(files).await;
    for (name, sip) in [("a", "127.0.0.10:5060"), ("b", "127.0.0.20:5060")] {
        let path = format!("/v1/gateways/{name}");
        assert_eq!(api.put(&path, json!({ "sip": sip })).await.0, 200);
    }
    (directory, api)
}

#[tokio::test]
async fn import_is_compared_committed_and_there_after_a_restart() {
    let files = Files::with_store();
    let (directory, api) = with_gateways(&files).await;
    let (status, shown) = import(&api, CSV).await;
    assert_eq!((status, &shown["stage"]), (201, &json!("ready")), "{shown}");
    assert_eq!(shown["difference"]["added"], 3);
    assert_eq!(shown["difference"]["first"][0]["prefix"], "+813");
    // Seen, but not answered from.
    assert_eq!(api.get("/lookup/0312345678").await.0, 404);
    assert_eq!(api.get("/v1/import").await.1["rows"], 4);
    assert_eq!(import(&api, CSV).await.1["code"], "busy");
    let commit = format!("/v1/import/{}/commit", shown["id"].as_str().unwrap());
    let (status, committed) = api.post(&commit, json!({})).await;
    assert_eq!(status, 200, "{committed}");
    assert_eq!(first(&api, "0312345678").await, "a");
    assert_eq!(api.get("/lookup/03-3333-1234").await.1["ported_to"], "+81399990000");
    let (_, exported) = api.send("GET", "/v1/export", None).await;
    assert_eq!(exported, CSV);
    assert_eq!(api.post(&commit, json!({})).await.0, 404);
    directory.stop().await;

    let (directory, api) = start(&files).await;
    assert_eq!(api.send("GET", "/v1/export", None).await.1, CSV);
    let (_, log) = api.get("/v1/changes").await;
    let actions: Vec<&str> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["imported", "gateway_set", "gateway_set"]);
    assert_eq!(log["entries"][0]["who"], "admin");
    directory.stop().await;
}

#[tokio::test]
async fn area_codes_of_japan_are_imported_and_lead_to_their_regions() {
    let files = Files::with_store();
    let (directory, api) = start(&files).await;
    let table = include_str!("../../../deploy/examples/japan.csv");
    let regions = "sapporo sendai tokyo yokohama nagoya osaka kyoto hiroshima fukuoka miura";
    for (place, name) in regions.split(' ').enumerate() {
        let sip = format!("192.0.2.{}", place + 1);
        assert_eq!(api.put(&format!("/v1/gateways/{name}"), json!({ "sip": sip })).await.0, 200);
    }
    let (_, shown) = import(&api, table).await;
    assert_eq!(shown["difference"]["added"], 1_424, "{shown}");
    let commit = format!("/v1/import/{}/commit", shown["id"].as_str().unwrap());
    assert_eq!(api.post(&commit, json!({})).await.0, 200);
    for (number, prefix, gateway) in [
        ("03-3333-1234", "+813", "tokyo"),
        ("０４５－２１２－１２３４", "+8145", "yokohama"),
        ("0465-22-1234", "+81465", "yokohama"),
        ("06-6123-4567", "+8166", "osaka"),
        ("011-211-1234", "+8111", "sapporo"),
        ("184-092-711-1234", "+8192", "fukuoka"),
        ("09802-2-1234", "+819802", "fukuoka"),
        // In no plan any more: that is no reason not to route it.
        ("0469-22-1234", "+81469", "miura"),
    ] {
        let (_, why) = api.get(&format!("/lookup/{}", percent(number))).await;
        assert_eq!(why["gateways"][0]["name"], gateway, "{number}: {why}");
        assert!(why["prefix"].as_str().unwrap().starts_with(prefix), "{number}: {why}");
    }
    // Emergency calls are the caller's own network's.
    let (status, fault) = api.get("/lookup/110").await;
    assert_eq!(status, 400);
    assert!(fault["error"].as_str().unwrap().contains("short code"), "{fault}");
    directory.stop().await;
}

/// As it stands in a URL.
fn percent(text: &str) -> String {
    text.bytes().map(|octet| format!("%{octet:02X}")).collect()
}

#[tokio::test]
async fn mistakes_of_an_import_are_told_by_line_and_change_nothing() {
    let files = Files::with_store();
    let (directory, api) = with_gateways(&files).await;
    let (status, fault) = import(&api, "prefix,gateway\n+813,a\n+814,c\nx,a\n").await;
    assert_eq!(status, 400);
    assert_eq!(fault["mistakes"][0]["line"], 3);
    assert!(fault["mistakes"][0]["problem"].as_str().unwrap().contains("\"c\""), "{fault}");
    assert_eq!(fault["mistakes"][1]["line"], 4);
    assert_eq!(api.get("/v1/import").await.1["stage"], "failed");
    // One that failed makes room.
    let (_, shown) = import(&api, CSV).await;
    assert_eq!(shown["stage"], "ready");
    // Somebody else is faster.
    let route = json!({ "gateways": [{ "name": "b" }] });
    assert_eq!(api.put("/v1/prefixes/052", route).await.0, 200);
    let commit = format!("/v1/import/{}/commit", shown["id"].as_str().unwrap());
    assert_eq!(api.post(&commit, json!({})).await.1["code"], "moved");
    assert_eq!(api.delete("/v1/import").await.0, 204);
    assert_eq!(first(&api, "0521234567").await, "b");
    assert_eq!(api.get("/lookup/0312345678").await.0, 404);
    directory.stop().await;
}

#[tokio::test]
async fn versions_can_be_gone_back_to_after_changes_imports_and_restarts() {
    let files = Files::with_store();
    let (directory, api) = with_gateways(&files).await;
    let route = |name: &str| json!({ "gateways": [{ "name": name }] });
    let set = async |api: &Api, prefix: &str, name: &str| -> u64 {
        let (status, changed) = api.put(&format!("/v1/prefixes/{prefix}"), route(name)).await;
        assert_eq!(status, 200, "{changed}");
        changed["version"].as_u64().unwrap()
    };
    let first_version = set(&api, "03", "a").await;
    let second = set(&api, "03", "b").await;
    assert!(second > first_version);
    // What is so already makes no version.
    assert_eq!(set(&api, "03", "b").await, second);
    let (_, shown) = import(&api, CSV).await;
    let commit = format!("/v1/import/{}/commit", shown["id"].as_str().unwrap());
    let imported = api.post(&commit, json!({})).await.1["version"].as_u64().unwrap();
    let (_, changed) = api.delete("/v1/prefixes/0469").await;
    assert_eq!(changed["changes"][0]["before"]["gateways"][0]["name"], "b");
    assert_eq!(api.delete("/v1/prefixes/0469").await.0, 404);
    directory.stop().await;

    let (directory, api) = start(&files).await;
    assert_eq!(api.get("/lookup/0469595678").await.0, 404);
    let back = async |to: u64, dry_run: bool| {
        let path = format!("/v1/versions/{to}/roll-back");
        api.post(&path, json!({ "dry_run": dry_run })).await
    };
    let (_, dry) = back(imported, true).await;
    assert_eq!(dry["difference"]["added"], 1, "{dry}");
    assert_eq!(api.get("/lookup/0469595678").await.0, 404);
    assert_eq!(back(imported, false).await.0, 200);
    assert_eq!(first(&api, "0469595678").await, "b");
    assert_eq!(first(&api, "0312345678").await, "a");
    assert_eq!(back(second, false).await.0, 200);
    assert_eq!(first(&api, "0312345678").await, "b");
    assert_eq!(api.get("/lookup/0469595678").await.0, 404);
    assert_eq!(back(first_version, false).await.0, 200);
    assert_eq!(first(&api, "0312345678").await, "a");
    assert_eq!(back(0, false).await.0, 200);
    assert_eq!(api.get("/lookup/0312345678").await.0, 404);
    assert_eq!(back(9_999, false).await.0, 404);
    let (_, versions) = api.get("/v1/versions?limit=2").await;
    assert_eq!(versions["entries"][0]["action"], "rolled_back");
    assert_eq!(versions["entries"].as_array().unwrap().len(), 2);
    directory.stop().await;
}

#[tokio::test]
async fn version_whose_table_is_gone_is_refused_and_not_brought_back_in_part() {
    let files = Files::with_store();
    let (directory, api) = with_gateways(&files).await;
    let mut versions = Vec::new();
    // One more than are kept.
    for number in 0..=10 {
        let (_, shown) = import(&api, &format!("prefix,gateway\n+81{},a\n", 10 + number)).await;
        let commit = format!("/v1/import/{}/commit", shown["id"].as_str().unwrap());
        versions.push(api.post(&commit, json!({})).await.1["version"].as_u64().unwrap());
    }
    let back = async |to: u64| {
        let path = format!("/v1/versions/{to}/roll-back");
        api.post(&path, json!({ "dry_run": true })).await
    };
    for gone in [0, versions[0]] {
        let (status, fault) = back(gone).await;
        assert_eq!(status, 404);
        let oldest = format!("{} to {}", versions[1], versions[10]);
        assert!(fault["error"].as_str().unwrap().contains(&oldest), "{fault}");
    }
    let (_, shown) = back(versions[1]).await;
    assert_eq!(shown["difference"]["first"][0]["prefix"], "+8111");
    directory.stop().await;
}

#[tokio::test]
async fn change_whose_client_hangs_up_is_answered_from_as_it_is_stored() {
    let files = Files::with_store();
    let (directory, api) = with_gateways(&files).await;
    let route = json!({ "gateways": [{ "name": "a" }] }).to_string();
    let (_, shown) = import(&api, CSV).await;
    let commit = format!("/v1/import/{}/commit", shown["id"].as_str().unwrap());
    for (method, path, body) in [
        ("POST", &*commit, "{}"),
        ("PUT", "/v1/prefixes/+8133", &*route),
        ("PUT", "/v1/prefixes/+8144", &route),
    ] {
        let mut stream = tokio::net::TcpStream::connect(api.address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        drop(stream);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Behind what is still under way.
    let (_, changed) = api.put("/v1/prefixes/06", serde_json::from_str(&route).unwrap()).await;
    let (_, answered) = api.send("GET", "/v1/export", None).await;
    directory.stop().await;
    let (directory, api) = start(&files).await;
    assert_eq!(api.send("GET", "/v1/export", None).await.1, answered);
    assert_eq!(api.get("/v1/prefixes").await.1["version"], changed["version"]);
    directory.stop().await;
}

#[tokio::test]
async fn several_changes_are_made_all_or_none() {
    let files = Files::with_store();
    let (directory, api) = with_gateways(&files).await;
    let change = |prefix: &str, name: &str| json!({ "prefix": prefix, "route": { "gateways": [{ "name": name }] } });
    let good = json!([change("03", "a"), change("06", "b")]);
    let (_, dry) = api.post("/v1/prefixes", json!({ "changes": good, "dry_run": true })).await;
    assert_eq!(dry["changes"].as_array().unwrap().len(), 2);
    assert_eq!(api.get("/v1/prefixes").await.1["prefixes"], json!([]));
    let bad = json!([change("03", "a"), change("06", "nobody")]);
    let (status, fault) = api.post("/v1/prefixes", json!({ "changes": bad })).await;
    assert_eq!(status, 400);
    assert!(fault["error"].as_str().unwrap().contains("nobody"), "{fault}");
    assert_eq!(api.get("/v1/prefixes").await.1["prefixes"], json!([]));
    assert_eq!(api.post("/v1/prefixes", json!({ "changes": good })).await.0, 200);
    let (_, found) = api.get("/v1/prefixes?limit=1").await;
    assert_eq!((&found["prefixes"][0]["prefix"], &found["more"]), (&json!("+813"), &json!(true)));
    // A gateway in use stays.
    assert_eq!(api.delete("/v1/gateways/b").await.1["code"], "in_use");
    assert_eq!(api.delete("/v1/prefixes/06").await.0, 200);
    assert_eq!(api.delete("/v1/gateways/b").await.0, 204);
    assert_eq!(api.get("/v1/gateways/b").await.0, 404);
    directory.stop().await;
}

#[tokio::test]
async fn registration_drain_and_token_outlive_a_restart() {
    let files = Files::with_store();
    let (directory, api) = with_gateways(&files).await;
    let coming = json!({ "sip": "127.0.0.60", "lease_s": 60, "prefixes": [{ "prefix": "06" }] });
    let (_, granted) = api.put("/v1/gateways/o", coming).await;
    assert_eq!(api.put("/v1/gateways/a/drain", json!({ "drain": true })).await.0, 204);
    let wanted = json!({ "name": "looker", "scopes": ["read"] });
    let (status, made) = api.post("/v1/tokens", wanted.clone()).await;
    assert_eq!(status, 201);
    assert_eq!(api.post("/v1/tokens", wanted).await.1["code"], "name_taken");
    directory.stop().await;

    let (directory, api) = start(&files).await;
    assert_eq!(first(&api, "0612345678").await, "o");
    // It goes on with the lease that it has.
    let report = json!({ "lease": granted["lease"] });
    assert_eq!(api.post("/v1/gateways/o/report", report).await.0, 204);
    assert_eq!(api.get("/v1/gateways/a").await.1["standing"], "draining");
    let looker = Api { token: Some(made["token"].as_str().unwrap().into()), ..api.clone() };
    assert_eq!(looker.get("/v1/gateways").await.0, 200);
    assert_eq!(looker.put("/v1/prefixes/03", json!({})).await.0, 403);
    assert_eq!(api.delete("/v1/tokens/looker").await.0, 204);
    assert_eq!(looker.get("/v1/gateways").await.0, 401);
    assert_eq!(api.delete("/v1/tokens/admin").await.1["code"], "configured");
    directory.stop().await;
}

#[tokio::test]
async fn damaged_table_is_refused_by_name_and_the_one_before_it_used() {
    let files = Files::with_store();
    let (directory, api) = with_gateways(&files).await;
    for csv in ["prefix,gateway\n+813,a\n", "prefix,gateway\n+813,b\n"] {
        let (_, shown) = import(&api, csv).await;
        let commit = format!("/v1/import/{}/commit", shown["id"].as_str().unwrap());
        assert_eq!(api.post(&commit, json!({})).await.0, 200);
    }
    assert_eq!(first(&api, "0312345678").await, "b");
    directory.stop().await;
    let mut tables: Vec<_> = std::fs::read_dir(files.folder().join("store"))
        .unwrap()
        .map(|file| file.unwrap())
        .filter(|file| file.file_name().to_string_lossy().starts_with("table-"))
        .collect();
    tables.sort_by_key(|file| file.metadata().unwrap().modified().unwrap());
    let latest = tables.pop().unwrap().path();
    let mut octets = std::fs::read(&latest).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 1;
    std::fs::write(&latest, octets).unwrap();
    let (directory, api) = start(&files).await;
    assert_eq!(first(&api, "0312345678").await, "a");
    directory.stop().await;
    std::fs::write(tables.pop().unwrap().path(), "x").unwrap();
    let error = Directory::start(&files.configuration()).await.unwrap_err().to_string();
    assert!(error.contains("store/table-"), "{error}");
}
