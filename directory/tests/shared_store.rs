//! Directories that share their store through three real members of etcd.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::api::Api;
use support::etcd::Etcd;
use support::{ADMIN, Files, GATEWAY_O, TOKENS};
use trunkline_directory::Directory;

/// A directory on the shared store.
struct Node {
    files: Files,
    directory: Directory,
    api: Api,
}

impl Node {
    async fn start(etcd: &Etcd, name: &str) -> Self {
        Self::start_in(Files::new(""), etcd, name).await
    }

    async fn start_in(files: Files, etcd: &Etcd, name: &str) -> Self {
        // The others must know the port before it is open.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        files.write_configuration(&format!(
            "listen: [127.0.0.1:0]\nhttp: 127.0.0.1:{port}\nstore: store\n\
             etcd:\n  endpoints: [{}]\n  node: {name}\n  advertise: http://127.0.0.1:{port}\n{TOKENS}",
            etcd.endpoints()
        ));
        let directory = Directory::start(&files.configuration()).await.unwrap();
        let api = Api { address: directory.http().unwrap(), token: Some(ADMIN.into()) };
        Self { files, directory, api }
    }

    async fn first(&self, number: &str) -> Value {
        self.api.get(&format!("/lookup/{number}")).await.1["gateways"][0]["name"].clone()
    }

    async fn standing(&self, gateway: &str) -> Value {
        self.api.get(&format!("/v1/gateways/{gateway}")).await.1["standing"].clone()
    }

    async fn metric(&self, name: &str) -> u64 {
        let (_, text) = self.api.send("GET", "/metrics", None).await;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }
}

/// How long a change may take to be seen at another node.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

/// Waits until something is so; how long it took.
async fn until(within: Duration, what: &str, mut is_so: impl AsyncFnMut() -> bool) -> Duration {
    let began = Instant::now();
    loop {
        if is_so().await {
            return began.elapsed();
        }
        assert!(began.elapsed() < within, "after {within:?} not yet: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn prefix(node: &Node, prefix: &str, gateway: &str) -> (u16, Value) {
    let path = format!("/v1/prefixes/%2B{prefix}");
    node.api.put(&path, json!({ "gateways": [{ "name": gateway }] })).await
}

async fn set_up() -> Option<(Etcd, [Node; 3])> {
    let Some(etcd) = Etcd::start().await else {
        assert!(std::env::var_os("CI").is_none(), "etcd is missing: scripts/set-up test");
        println!("skipped: etcd is missing, run scripts/set-up test");
        return None;
    };
    let mut nodes = Vec::new();
    for name in ["n1", "n2", "n3"] {
        nodes.push(Node::start(&etcd, name).await);
    }
    for (name, sip) in [("a", "127.0.0.10:5060"), ("b", "127.0.0.20:5060")] {
        let path = format!("/v1/gateways/{name}");
        assert_eq!(nodes[0].api.put(&path, json!({ "sip": sip })).await.0, 200);
    }
    Some((etcd, nodes.try_into().ok()?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_node_takes_a_change_and_all_show_it_within_a_second() {
    let Some((etcd, nodes)) = set_up().await else {
        return;
    };
    for node in &nodes {
        until(SEEN_WITHIN, "gateway b", async || node.standing("b").await == "in_service").await;
    }
    // Each node in turn, seen at all others.
    for (place, digits) in [(0, "813"), (1, "816"), (2, "8145")] {
        let (status, set) = prefix(&nodes[place], digits, "a").await;
        assert_eq!(status, 200, "{set}");
        for node in &nodes {
            let number = format!("%2B{digits}12345678");
            until(SEEN_WITHIN, digits, async || node.first(&number).await == "a").await;
        }
    }
    // All at once: none is lost, and all end with the same.
    let storm = async |place: usize| {
        for number in 0..8 {
            let (status, text) = prefix(&nodes[place], &format!("819{place}{number}"), "b").await;
            assert_eq!(status, 200, "{text}");
        }
    };
    tokio::join!(storm(0), storm(1), storm(2));
    let export = async |node: &Node| node.api.send("GET", "/v1/export", None).await.1;
    until(SEEN_WITHIN, "the same everywhere", async || {
        let all = [export(&nodes[0]).await, export(&nodes[1]).await, export(&nodes[2]).await];
        all[0].lines().count() == 1 + 3 + 24 && all[0] == all[1] && all[1] == all[2]
    })
    .await;
    // A big table is a file, which the others fetch.
    let csv = "prefix,gateway,order,preference,weight,capacity,hours,rn,npdi\n\
               +813,b,10,10,1,,,,\n+81469,b,10,10,1,,,,\n";
    let import = Some(("text/csv", csv.to_owned()));
    let (status, shown) = nodes[2].api.send("POST", "/v1/import", import).await;
    assert_eq!(status, 201, "{shown}");
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let commit = format!("/v1/import/{}/commit", shown["id"].as_str().unwrap());
    assert_eq!(nodes[2].api.post(&commit, json!({})).await.0, 200);
    for node in &nodes {
        until(SEEN_WITHIN, "the import", async || export(node).await == csv).await;
    }
    // What was before comes back at another node.
    let (_, log) = nodes[0].api.get("/v1/versions").await;
    let before = log["entries"][1]["number"].as_u64().unwrap();
    let path = format!("/v1/versions/{before}/roll-back");
    assert_eq!(nodes[0].api.post(&path, json!({})).await.0, 200);
    until(SEEN_WITHIN, "the way back", async || export(&nodes[1]).await.lines().count() == 28)
        .await;
    // A token of one node counts at all.
    let wanted = json!({ "name": "reader", "scopes": ["read"] });
    let (status, made) = nodes[0].api.post("/v1/tokens", wanted).await;
    assert_eq!(status, 201, "{made}");
    let reader =
        Api { token: Some(made["token"].as_str().unwrap().into()), ..nodes[1].api.clone() };
    until(SEEN_WITHIN, "the token", async || reader.get("/v1/gateways").await.0 == 200).await;
    // Nobody else gets the nodes' files.
    let (status, _) = reader.send("GET", "/v1/replica/tables/table-0123456789abcdef", None).await;
    assert_eq!(status, 401);
    // Who comes later has everything; so has who comes back.
    let late = Node::start(&etcd, "n4").await;
    assert_eq!(export(&late).await.lines().count(), 28);
    let [one, two, _three] = nodes;
    two.directory.stop().await;
    assert_eq!(prefix(&one, "8199", "a").await.0, 200);
    let two = Node::start_in(two.files, &etcd, "n2").await;
    until(SEEN_WITHIN, "what was missed", async || two.first("%2B81991234567").await == "a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateway_is_alive_where_it_is_heard_and_everywhere_else() {
    let Some((_etcd, nodes)) = set_up().await else {
        return;
    };
    let gateway = |node: &Node| Api { token: Some(GATEWAY_O.into()), ..node.api.clone() };
    let coming = json!({
        "sip": "127.0.0.30:5060", "lease_s": 2,
        "trunk_groups": [{ "name": "tokyo", "circuits": 30 }],
        "prefixes": [{ "prefix": "+8133", "trunk_group": "tokyo" }],
    });
    let granted = gateway(&nodes[0]).put("/v1/gateways/o", coming.clone()).await.1;
    let lease = granted["lease"].as_str().unwrap().to_owned();
    until(SEEN_WITHIN, "registration", async || nodes[2].first("0333331234").await == "o").await;
    // At another node it has the same lease.
    let again = gateway(&nodes[1]).put("/v1/gateways/o", coming).await.1;
    assert_eq!(again["lease"], lease);
    let report = async |node: &Node, free: u32| {
        let told = json!({ "lease": lease, "trunk_groups": [{ "free": free }] });
        gateway(node).post("/v1/gateways/o/report", told).await.0
    };
    // For longer than its lease it is heard at one node only.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        assert_eq!(report(&nodes[0], 7).await, 204);
        assert_eq!(nodes[2].standing("o").await, "in_service");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    // Full at once, everywhere within two seconds.
    report(&nodes[0], 0).await;
    let two = Duration::from_secs(2);
    until(two, "full", async || {
        report(&nodes[0], 0).await;
        nodes[2].standing("o").await == "full"
    })
    .await;
    // Silent: its lease, and then two seconds.
    let took = until(2 * two, "dead", async || nodes[2].standing("o").await == "dead").await;
    assert!(took > Duration::from_secs(1), "{took:?}");
    for node in &nodes {
        until(two, "dead everywhere", async || node.standing("o").await == "dead").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_may_die_and_all_of_etcd_be_gone() {
    let Some((mut etcd, nodes)) = set_up().await else {
        return;
    };
    assert_eq!(prefix(&nodes[0], "813", "a").await.0, 200);
    let leader = etcd.leader().await;
    etcd.kill(leader);
    // The change waits for the next leader.
    for (place, digits) in [(0, "816"), (1, "8145"), (2, "8152")] {
        let (status, text) = prefix(&nodes[place], digits, "b").await;
        assert_eq!(status, 200, "{text}");
    }
    for node in &nodes {
        until(SEEN_WITHIN, "8152", async || node.first("%2B81521234567").await == "b").await;
        assert!(node.metric("trunkline_directory_store_age_seconds").await < 5);
    }
    (0..3).for_each(|place| etcd.kill(place));
    let (status, fault) = prefix(&nodes[1], "8111", "b").await;
    assert_eq!((status, &fault["code"]), (503, &json!("not_stored")), "{fault}");
    for node in &nodes {
        assert_eq!(node.first("%2B81312345678").await, "a");
        assert_eq!(node.metric("trunkline_directory_store_connected").await, 0);
        assert!(node.metric("trunkline_directory_store_age_seconds").await >= 4);
        let (_, health) = node.api.send("GET", "/healthz", None).await;
        assert!(health.contains("etcd does not answer"), "{health}");
    }
    // A node that starts now has its copy.
    let [one, two, three] = nodes;
    two.directory.stop().await;
    let two = Node::start_in(two.files, &etcd, "n2").await;
    assert_eq!(two.first("%2B81521234567").await, "b");
    // They find back by themselves.
    etcd.start_all();
    etcd.leader().await;
    until(Duration::from_secs(10), "a change again", async || {
        prefix(&three, "8111", "b").await.0 == 200
    })
    .await;
    for node in [&one, &two] {
        let back = async || node.first("%2B81111234567").await == "b";
        until(Duration::from_secs(5), "8111", back).await;
        assert_eq!(node.metric("trunkline_directory_store_connected").await, 1);
    }
}

#[tokio::test]
async fn look_ups_go_on_from_memory_while_etcd_is_gone_for_an_hour() {
    let Some((mut etcd, [node, ..])) = set_up().await else {
        return;
    };
    assert_eq!(prefix(&node, "813", "a").await.0, 200);
    assert!(node.metric("trunkline_directory_store_age_seconds").await < 5);
    (0..3).for_each(|place| etcd.kill(place));
    let gone = async || node.metric("trunkline_directory_store_connected").await == 0;
    until(Duration::from_secs(10), "etcd is missed", gone).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3600)).await;
    tokio::time::resume();
    assert_eq!(node.first("%2B81312345678").await, "a");
    assert_eq!(node.standing("a").await, "in_service");
    let age_s = node.metric("trunkline_directory_store_age_seconds").await;
    assert!((3600..3700).contains(&age_s), "{age_s}");
}
