//! The way to the directories: HTTP or HTTPS, one connection to each, that is opened again when it
//! breaks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{Method, Request as HttpRequest, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Registrar, Reply, Request};
pub use crate::endpoint::{Authorities, Endpoint};
use crate::fleet::Report;
use crate::wire::{Coming, Granted, GroupTold, Told};

/// Where and as what a gateway registers.
#[derive(Clone)]
pub struct RegistrationSettings {
    /// Directories: `https://ns1.example.net:9153`.
    pub directories: Vec<Endpoint>,
    /// What permits it.
    pub token: String,
    /// Name of the gateway.
    pub name: String,
    /// What it says when it comes.
    pub coming: Coming,
    /// Signs the certificates of HTTPS.
    pub authorities: Option<Authorities>,
}

impl fmt::Debug for RegistrationSettings {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { directories, name, coming, .. } = self;
        let mut shown = f.debug_struct("RegistrationSettings");
        shown.field("directories", directories).field("name", name).field("coming", coming);
        shown.finish_non_exhaustive()
    }
}

/// A gateway that keeps its directories informed. Dropping it breaks off without leave.
#[derive(Debug)]
pub struct Registration {
    report: watch::Sender<(Report, bool)>,
    registered: Vec<watch::Receiver<bool>>,
    tasks: JoinSet<()>,
}

impl Registration {
    /// Begins to register, at all directories. Call it inside a tokio runtime.
    pub fn start(settings: RegistrationSettings, report: Report) -> Self {
        let (sender, receiver) = watch::channel((report, false));
        let mut tasks = JoinSet::new();
        let mut registered = Vec::new();
        let settings = Arc::new(settings);
        for place in 0..settings.directories.len() {
            let (up, seen) = watch::channel(false);
            registered.push(seen);
            let task = Task {
                settings: Arc::clone(&settings),
                place,
                report: receiver.clone(),
                up,
                connection: None,
                was_refused: false,
            };
            tasks.spawn(task.run());
        }
        Self { report: sender, registered, tasks }
    }

    /// The gateway is so now.
    pub fn tell(&self, report: Report) {
        self.report.send_if_modified(|own| {
            let changed = own.0 != report;
            own.0 = report;
            changed
        });
    }

    /// Directories that have it at the moment, and all.
    pub fn count(&self) -> (usize, usize) {
        let up = self.registered.iter().filter(|up| *up.borrow()).count();
        (up, self.registered.len())
    }

    /// Takes leave, for as long as the directories take to answer, up to two seconds.
    pub async fn leave(mut self) {
        self.report.send_modify(|own| own.1 = true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let _ = timeout(REQUEST_MAX, all).await;
    }
}

/// Longest a directory may take to answer.
const REQUEST_MAX: Duration = Duration::from_secs(2);

/// Longest answer that is read, in octets.
const ANSWER_MAX_OCTETS: usize = 64 * 1024;

struct Task {
    settings: Arc<RegistrationSettings>,
    place: usize,
    report: watch::Receiver<(Report, bool)>,
    up: watch::Sender<bool>,
    connection: Option<http1::SendRequest<Full<Bytes>>>,
    was_refused: bool,
}

impl Task {
    async fn run(mut self) {
        let report = self.report.borrow_and_update().0.clone();
        let mut registrar = Registrar::new(Instant::now(), report);
        while !registrar.is_gone() {
            if let Some(request) = registrar.poll_request(Instant::now()) {
                let reply = self.ask(&request).await;
                registrar.answered(Instant::now(), reply);
                self.tell_state(registrar.is_registered());
                self.take_in(&mut registrar);
                continue;
            }
            let timer = async {
                match registrar.next_deadline() {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = timer => {}
                changed = self.report.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    self.take_in(&mut registrar);
                }
            }
        }
    }

    fn take_in(&mut self, registrar: &mut Registrar) {
        let (report, leaves) = self.report.borrow_and_update().clone();
        if leaves {
            registrar.leave();
        } else {
            registrar.tell(Instant::now(), report);
        }
    }

    fn tell_state(&self, is_up: bool) {
        let changed = self.up.send_if_modified(|up| std::mem::replace(up, is_up) != is_up);
        if changed {
            let directory = &self.settings.directories[self.place];
            let text = if is_up { "registered in the directory" } else { "not in the directory" };
            tracing::info!(%directory, "{text}");
        }
    }

    async fn ask(&mut self, request: &Request) -> Reply {
        let name = &self.settings.name;
        let (method, path, body) = match request {
            Request::Register => {
                let body = serde_json::to_vec(&self.settings.coming).unwrap_or_default();
                (Method::PUT, format!("/v1/gateways/{name}"), body)
            }
            Request::Report { lease, report } => {
                let told = Told {
                    lease: lease.clone(),
                    trunk_groups: report
                        .groups
                        .iter()
                        .map(|group| GroupTold { free: group.free, alarmed: group.alarmed })
                        .collect(),
                    draining: report.draining,
                    alarms: report.alarms.clone(),
                };
                let body = serde_json::to_vec(&told).unwrap_or_default();
                (Method::POST, format!("/v1/gateways/{name}/report"), body)
            }
            Request::Leave { lease } => {
                (Method::DELETE, format!("/v1/gateways/{name}?lease={lease}"), Vec::new())
            }
        };
        let answer = timeout(REQUEST_MAX, self.send(method, &path, body)).await;
        let (status, body) = match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return self.failed(&error),
            Err(_) => return self.failed("no answer in time"),
        };
        match (request, status) {
            (Request::Register, StatusCode::OK) => {
                let granted: Result<Granted, _> = serde_json::from_slice(&body);
                let read = granted.ok().and_then(|granted| {
                    let lasts = Duration::try_from_secs_f64(granted.lease_s?).ok()?;
                    Some(Reply::Granted { lease: granted.lease?, lasts })
                });
                self.was_refused = false;
                read.unwrap_or_else(|| self.failed("the answer cannot be read"))
            }
            (Request::Report { .. }, StatusCode::CONFLICT | StatusCode::NOT_FOUND) => {
                Reply::NoLease
            }
            (_, status) if status.is_success() => Reply::Done,
            (_, status) => {
                let text = String::from_utf8_lossy(&body);
                self.failed(&format!("{status}: {text}"))
            }
        }
    }

    fn failed(&mut self, error: &str) -> Reply {
        self.connection = None;
        // Once, not with every attempt.
        if !std::mem::replace(&mut self.was_refused, true) {
            let directory = &self.settings.directories[self.place];
            tracing::warn!(%directory, error, "cannot register");
        }
        Reply::Failed
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), String> {
        let directory = &self.settings.directories[self.place];
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => directory.connect(self.settings.authorities.as_ref()).await?,
        };
        let request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, directory.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.settings.token))
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| error.to_string())?;
        connection.ready().await.map_err(|error| error.to_string())?;
        let answer = connection.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_MAX_OCTETS);
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        self.connection = Some(connection);
        Ok((status, body))
    }
}
