//! The operators' page in a real browser.

use serde_json::json;
use trunkline_directory::Directory;

use crate::support::api::Api;
use crate::support::browser::Browser;
use crate::support::{ADMIN, Files};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operator_sees_gateways_their_load_the_table_the_why_and_the_last_changes() {
    let files = Files::with_store();
    let Some(browser) = Browser::open(files.folder()) else {
        return;
    };
    let directory = Directory::start(&files.configuration()).await.unwrap();
    let api = Api { address: directory.http().unwrap(), token: Some(ADMIN.into()) };
    for (name, sip) in [("tokyo-1", "192.0.2.10:5060"), ("tokyo-2", "192.0.2.11:5060")] {
        let path = format!("/v1/gateways/{name}");
        assert_eq!(api.put(&path, json!({ "sip": sip })).await.0, 200);
    }
    let coming = json!({
        "sip": "192.0.2.60", "transport": "tcp", "lease_s": 60,
        "trunk_groups": [{ "name": "city", "circuits": 90 }, { "name": "long-distance", "circuits": 30 }],
        "prefixes": [{ "prefix": "06", "trunk_group": "city" }, { "prefix": "072" }],
    });
    let (_, granted) = api.put("/v1/gateways/osaka", coming).await;
    let report = json!({
        "lease": granted["lease"], "alarms": ["span e1-4: loss of signal"],
        "trunk_groups": [{ "free": 27 }, { "free": 30, "alarmed": true }],
    });
    assert_eq!(api.post("/v1/gateways/osaka/report", report).await.0, 204);
    let both = json!({ "gateways": [
        { "name": "tokyo-1", "weight": 3 }, { "name": "tokyo-2", "hours": "mo-fr 08:00-18:00" },
    ] });
    assert_eq!(api.put("/v1/prefixes/03", both).await.0, 200);
    let ported = json!({ "gateways": [{ "name": "tokyo-2" }], "rn": "+81399990000" });
    assert_eq!(api.put("/v1/prefixes/+81-3-3333-1234", ported).await.0, 200);
    assert_eq!(api.put("/v1/gateways/tokyo-2/drain", json!({ "drain": true })).await.0, 204);
    let url = format!("http://{}/", api.address);
    let seen = tokio::task::spawn_blocking(move || {
        browser.go(&url);
        browser.wait_for("#fault", "show a token");
        browser.enter("#token", ADMIN);
        browser.wait_for("#gateways", "tokyo-2 draining 192.0.2.11:5060");
        browser.wait_for("#gateways", "osaka in service 192.0.2.60 tcp");
        browser.wait_for("#gateways", "city 27/90");
        browser.wait_for("#gateways", "long-distance 30/30 in alarm");
        browser.wait_for("#gateways", "span e1-4: loss of signal");
        browser.wait_for("#changes", "admin drains tokyo-2");
        browser.enter("#number", "03-3333-1234");
        browser
            .wait_for("#why", "+81333331234 served, matches +81333331234, ported to +81399990000");
        browser.wait_for("#why", "tokyo-2 left out: draining");
        browser.enter("#begins", "06");
        browser.wait_for("#prefixes", "+816 osaka (10/10)");
        (browser.picture(), browser)
    });
    let (picture, browser) = seen.await.unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
    // The README's picture is made this way.
    if let Some(path) = std::env::var_os("TRUNKLINE_PICTURE") {
        std::fs::write(path, picture).unwrap();
    }
    // What comes from gateways is text, whatever it looks like.
    let alarm = json!({ "lease": granted["lease"], "alarms": ["<b id=bold>span e1-4</b>"],
        "trunk_groups": [{ "free": 27 }, { "free": 30, "alarmed": true }] });
    assert_eq!(api.post("/v1/gateways/osaka/report", alarm).await.0, 204);

    let seen = tokio::task::spawn_blocking(move || {
        browser.wait_for("#gateways", "<b id=bold>span e1-4</b>");
        browser.enter("#begins", "x");
        browser.wait_for("#more", "which is no digit");
    });
    seen.await.unwrap();
    directory.stop().await;
}
