//! Three members of a real etcd, each a process of its own.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The members; killed when dropped.
pub struct Etcd {
    folder: TempDir,
    clients: Vec<u16>,
    peers: Vec<u16>,
    members: Vec<Option<Child>>,
}

impl Etcd {
    /// Three members with a leader; none if the program is not there.
    pub async fn start() -> Option<Self> {
        Command::new("etcd").arg("--version").stdout(Stdio::null()).status().ok()?;
        let free = || TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets: Vec<TcpListener> = (0..6).map(|_| free()).collect();
        let ports: Vec<u16> =
            sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        drop(sockets);
        let (clients, peers) = (ports[..3].to_vec(), ports[3..].to_vec());
        let folder = tempfile::tempdir().unwrap();
        let mut etcd = Self { folder, clients, peers, members: vec![None, None, None] };
        etcd.start_all();
        etcd.leader().await;
        Some(etcd)
    }

    /// Starts those that do not run.
    pub fn start_all(&mut self) {
        for place in 0..3 {
            if self.members[place].is_none() {
                let member = self.member(place);
                self.members[place] = Some(member);
            }
        }
    }

    fn member(&self, place: usize) -> Child {
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let cluster: Vec<String> = self
            .peers
            .iter()
            .enumerate()
            .map(|(place, &port)| format!("m{place}={}", url(port)))
            .collect();
        let data: PathBuf = self.folder.path().join(format!("m{place}"));
        let (client, peer) = (url(self.clients[place]), url(self.peers[place]));
        Command::new("etcd")
            .args(["--name", &format!("m{place}"), "--data-dir"])
            .arg(data)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &cluster.join(","), "--initial-cluster-state", "new"])
            .args(["--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The member that leads.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            for place in 0..3 {
                let status = post(self.clients[place], "/v3/maintenance/status").await;
                let leads = status.is_some_and(|status| {
                    status["leader"].is_string()
                        && status["leader"] == status["header"]["member_id"]
                });
                if leads {
                    return place;
                }
            }
            assert!(Instant::now() < deadline, "etcd has no leader");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Kills a member.
    pub fn kill(&mut self, place: usize) {
        if let Some(mut member) = self.members[place].take() {
            member.kill().unwrap();
            member.wait().unwrap();
        }
    }

    /// As they stand in a configuration.
    pub fn endpoints(&self) -> String {
        let all: Vec<String> =
            self.clients.iter().map(|port| format!("http://127.0.0.1:{port}")).collect();
        all.join(", ")
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        (0..3).for_each(|place| self.kill(place));
    }
}

async fn post(port: u16, path: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    let body = json!({}).to_string();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}
