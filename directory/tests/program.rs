//! The program itself: commands, exit status, signals.

mod support;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use support::api::Api;
use support::{ADMIN, Files, TABLE};

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trunkline-directory"));
    command.env_remove("TRUNKLINE_LOG");
    command
}

fn output(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8(octets.to_vec()).unwrap()
}

/// Ends with the test, whatever happens.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

#[test]
fn check_accepts_a_good_file_and_names_the_line_of_a_bad_one() {
    let files = Files::new(TABLE);
    let path = files.configuration();
    let path = path.to_str().unwrap();
    let good = output(&["check", path]);
    assert!(good.status.success());
    assert!(text(&good.stdout).contains("usable, 2 prefixes to 2 gateways"));

    files.write_table(&TABLE.replace("'0469'", "'03'"));
    let bad = output(&["check", path]);
    assert_eq!(bad.status.code(), Some(2));
    let reason = text(&bad.stderr);
    assert!(reason.contains("table.yaml:7: prefixes.1.prefix:"), "{reason}");
    assert!(reason.contains("in line 5") && reason.contains("remedy: "), "{reason}");
    assert_eq!(output(&["run", path]).status.code(), Some(2));
    assert_eq!(output(&["check", "/nowhere.yaml"]).status.code(), Some(2));
}

#[test]
fn lookup_says_which_entry_matched() {
    let files = Files::new(TABLE);
    let path = files.configuration();
    let path = path.to_str().unwrap();
    let known = output(&["lookup", path, "03-3333-1234"]);
    assert!(known.status.success());
    assert_eq!(
        text(&known.stdout),
        "+81333331234: matches +813\n  gateway a, order 10, preference 10: \
         sip:+81333331234@127.0.0.10:5060\n"
    );
    let unknown = output(&["lookup", path, "+4930123456"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown.stdout).contains("unknown"));
    assert_eq!(output(&["lookup", path, "110"]).status.code(), Some(2));
}

#[test]
fn signals_reload_and_end() {
    let files = Files::new(TABLE);
    let mut child = Running(
        command()
            .args(["--log", "json", "run", files.configuration().to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut next = |wanted: &str| loop {
        let line = lines.next().expect("the log ends").unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        let message = event["message"].as_str().unwrap().to_owned();
        if message.contains(wanted) {
            break message;
        }
    };
    next("directory answers");
    files.write_table(&TABLE.replace("name: b", "name: c"));
    child.signal("-HUP");
    let refused = next("reload refused");
    assert!(refused.contains("table.yaml:8") && refused.contains("\"c\""), "{refused}");
    files.write_table(TABLE);
    child.signal("-HUP");
    next("table reloaded");
    child.signal("-TERM");
    next("directory ends");
    assert!(child.0.wait().unwrap().success());
}

/// The daemon on the files, and the address of its HTTP listener.
fn run(files: &Files) -> (Running, SocketAddr) {
    let mut child = Running(
        command()
            .args(["--log", "json", "run", files.configuration().to_str().unwrap()])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let address = loop {
        let line = lines.next().expect("the daemon does not start").unwrap();
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        if event["message"] == "directory answers" {
            let http = event["http"].as_str().unwrap();
            break http.trim_start_matches("Some(").trim_end_matches(')').parse().unwrap();
        }
    };
    // Ends with the daemon.
    std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
    (child, address)
}

/// Kills the daemon at moments that differ by fractions of a write, while four clients register
/// gateways and lead prefixes to them. What was acknowledged is there each time it comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_change_is_lost_when_the_daemon_is_killed() {
    const ROUNDS: u64 = 6;
    const CLIENTS: u64 = 4;
    let files = Files::with_store();
    let numbers = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    for round in 0..ROUNDS {
        let (child, address) = run(&files);
        let api = Api { address, token: Some(ADMIN.into()) };
        let kept = acknowledged.lock().unwrap().clone();
        check_kept(&api, &kept).await;
        let before = kept.len();
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let (api, numbers) = (api.clone(), Arc::clone(&numbers));
            let acknowledged = Arc::clone(&acknowledged);
            clients.push(tokio::spawn(async move {
                loop {
                    let number = numbers.fetch_add(1, Ordering::SeqCst);
                    let coming = json!({
                        "sip": "127.0.0.9", "lease_s": 3600,
                        "prefixes": [{ "prefix": format!("+44{number}") }],
                    });
                    let route = json!({ "gateways": [{ "name": format!("g{number}") }] });
                    for (path, body, prefix) in [
                        (format!("/v1/gateways/g{number}"), coming, format!("+44{number}")),
                        (format!("/v1/prefixes/+86{number}"), route, format!("+86{number}")),
                    ] {
                        let body = ("application/json", body.to_string());
                        match api.try_send("PUT", &path, Some(body)).await {
                            Some((200, _)) => acknowledged.lock().unwrap().push(prefix),
                            // Killed, in the middle of whatever it did.
                            None => return,
                            Some(other) => panic!("{path}: {other:?}"),
                        }
                    }
                }
            }));
        }
        tokio::time::sleep(Duration::from_millis(150 + 37 * round)).await;
        // SIGKILL.
        drop(child);
        for client in clients {
            client.await.unwrap();
        }
        assert!(acknowledged.lock().unwrap().len() > before, "nothing was done in round {round}");
    }
    let (_child, address) = run(&files);
    let acknowledged = acknowledged.lock().unwrap().clone();
    check_kept(&Api { address, token: Some(ADMIN.into()) }, &acknowledged).await;
    println!("{} changes, {ROUNDS} kills, none lost", acknowledged.len());
}

async fn check_kept(api: &Api, acknowledged: &[String]) {
    let (status, exported) = api.send("GET", "/v1/export", None).await;
    assert_eq!(status, 200);
    for prefix in acknowledged {
        let is_kept = match prefix.strip_prefix("+86") {
            Some(number) => exported.contains(&format!("\n{prefix},g{number},")),
            None => {
                let (_, found) = api.get(&format!("/v1/prefixes/{prefix}")).await;
                found["registered"]["gateways"][0]["name"] == format!("g{}", &prefix[3..])
            }
        };
        assert!(is_kept, "{prefix} was acknowledged and is lost:\n{exported}");
    }
}
