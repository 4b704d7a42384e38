//! A site on a free port of this host, and a browser made of one TCP connection a request.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use trunkline_number::PublicKey;
use trunkline_web::{Site, generate_key, serve};

pub const CONFIGURATION: &str = "\
listen: 127.0.0.1:0
signing_key: site.key
link_lifetime_s: 60
site:
  name: { ja: 湘南計測<工業>, en: Shonan <b>Instruments</b> }
  address: { ja: 三浦市, en: Miura }
numbers:
  - number: 03-3333-1234
    label: { ja: 本社, en: Head office }
    gateway: 127.0.0.10:5060
  - number: ０４６９－５９－５６７８
    label: { ja: 工場, en: Works }
prefixes:
  - prefix: '+8145'
    gateway: gw-b.example.jp
";

pub struct Running {
    pub public: PublicKey,
    address: std::net::SocketAddr,
    end: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
    _folder: TempDir,
}

impl Running {
    pub async fn start() -> Running {
        Running::with("").await
    }

    /// A site with further lines in its configuration.
    pub async fn with(more: &str) -> Running {
        let folder = tempfile::tempdir().unwrap();
        let public = generate_key(&folder.path().join("site.key")).unwrap();
        let site = read(folder.path(), &format!("{CONFIGURATION}{more}"));
        let listener = TcpListener::bind(site.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let served = tokio::spawn(serve(listener, Arc::new(site), async {
            let _ = ended.await;
        }));
        Running { public, address, end, served, _folder: folder }
    }

    pub async fn stop(self) {
        self.end.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.served)
            .await
            .expect("the server ends")
            .unwrap()
            .unwrap();
    }

    pub async fn fetch(&self, path: &str) -> Answer {
        self.ask("GET", path, "").await
    }

    /// One request, its path as it is, with further header lines.
    pub async fn ask(&self, method: &str, path: &str, headers: &str) -> Answer {
        self.say(method, path, headers, "").await
    }

    /// The same with a body, whose length is among the headers.
    pub async fn say(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: site\r\n{headers}Connection: close\r\n\r\n{body}"
        );
        self.send(request.as_bytes()).await
    }

    pub async fn send(&self, octets: &[u8]) -> Answer {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(octets).await.unwrap();
        let mut answer = Vec::new();
        let read = connection.read_to_end(&mut answer);
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("an answer").unwrap();
        Answer::parse(&answer)
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }
}

pub fn read(folder: &Path, text: &str) -> Site {
    let file = folder.join("web.yaml");
    std::fs::write(&file, text).unwrap();
    Site::read(&file).unwrap()
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl Answer {
    fn parse(octets: &[u8]) -> Answer {
        let text = String::from_utf8(octets.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}
