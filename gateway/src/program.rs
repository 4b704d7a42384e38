//! Start and stop of the gateway.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use trunkline_call::CallControl;
use trunkline_call::control::Limits;
use trunkline_call::routing::Routing;
use trunkline_call::trunk::{Parity, Trunks};
use trunkline_directory::client::{BadApex, EnumResolver, ResolverSettings};
use trunkline_isdn::Side;
use trunkline_media::packet_io::Backend;
use trunkline_media::{Media, MediaConfig, MediaError, PacketAllowance};
use trunkline_program::http::Tls;
use trunkline_program::signal::{Request, Signals};
use trunkline_rtp::playout::PlayoutConfig;
use trunkline_sip::{Endpoint, EndpointConfig, SipError};
use trunkline_webrtc::{Certificate, WebRtcError};
use trunkline_xdp::Mode;
use trunkline_xdp::network::Network;

use crate::browser;
use crate::browser::PageRequest;
use crate::configuration::{
    BackEnd, Browser, Configuration, File, KernelRelay, Rtp, SpanEntry, Xdp,
};
use crate::control::Access;
use crate::http;
use crate::journal::Journal;
use crate::switch::Switch;
use crate::switch::lines::{Lines, SpanError};
use crate::switch::voice::{Voice, VoiceSettings};

/// Longest time for the last call to be cleared after draining.
const CLEARING_MAX: Duration = Duration::from_secs(5);

/// Held back at the start of a talkspurt until the path is known: 20 ms. Telephones on ordinary
/// computers send with as much jitter, and a first word with a gap is worse than 10 ms of delay.
const START_MARGIN_SAMPLES: u32 = 160;

/// How often is looked whether directories have to be told something.
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// Threads of the control plane: signalling, HTTP, look-ups.
const CONTROL_THREADS: usize = 2;

/// Why the gateway does not run.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The system refused something.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// What went wrong.
        error: std::io::Error,
    },
    /// SIP cannot be started.
    #[error(transparent)]
    Sip(#[from] SipError),
    /// A span cannot be started.
    #[error(transparent)]
    Span(#[from] SpanError),
    /// The media plane cannot be started.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The certificate for pages cannot be used.
    #[error("browser.certificate: {0}")]
    Certificate(String),
    /// Browsers cannot be talked to.
    #[error(transparent)]
    Browser(#[from] WebRtcError),
    /// The directory's domain is none.
    #[error("directory.apex: {0}")]
    Apex(#[from] BadApex),
}

fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> GatewayError {
    let what = what.into();
    move |error| GatewayError::System { what, error }
}

/// Runs the gateway until SIGTERM or SIGINT: the first drains it, a second ends it at once.
pub fn run(configuration: Configuration) -> Result<(), GatewayError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(system("control threads"))?
        .block_on(serve(configuration))
}

async fn serve(configuration: Configuration) -> Result<(), GatewayError> {
    let file = &configuration.file;
    if let Some(key) = configuration.key_that_permits_srtp() {
        tracing::warn!(
            key,
            "SRTP keys travel in SIP over UDP and TCP, where whoever sees the signalling can read \
             them: let it pass through protected networks only"
        );
    }
    let mut signals = Signals::catch().map_err(system("signals"))?;
    let media = start_media(&configuration)?;
    let mut media_events = media.events().expect("nobody else asked for them");
    tracing::info!(back_end = %media.backend(), "media plane up");
    let voice = Voice::new(
        media,
        VoiceSettings {
            address: file.rtp.address,
            ptime_ms: file.rtp.ptime_ms as u16,
            suites: file.srtp.suites.iter().map(|suite| suite.0).collect(),
            cname: file.name.clone(),
            line_laws: file.spans.iter().map(SpanEntry::law).collect(),
        },
    );
    let (endpoint, mut sip_events) = Endpoint::start(EndpointConfig {
        udp: file.sip.udp.clone(),
        tcp: file.sip.tcp.clone(),
        user_agent: "Trunkline".to_owned(),
        max_legs: 2 * file.limits.calls,
        registrar_users: configuration.registrar_users(),
        ..EndpointConfig::default()
    })
    .await?;
    let listener = http::bind(file.http).await.map_err(system(format!("HTTP at {}", file.http)))?;
    let journal = match &file.records {
        Some(path) => {
            let what = format!("call records in {}", path.display());
            Some(Journal::open(path).map_err(system(what))?)
        }
        None => None,
    };
    let resolver = EnumResolver::new(ResolverSettings {
        servers: file.directory.servers.clone(),
        apex: file.directory.apex.clone(),
        ..ResolverSettings::default()
    })?;
    let (span_sender, mut span_events) = mpsc::channel(1_024);
    let lines = Lines::start(&file.spans, &span_sender)?;
    let control = call_control(&configuration, &lines);
    let (inquiry_sender, mut inquiries) = mpsc::channel(1_024);
    let (query_sender, mut queries) = mpsc::channel(16);
    let access = Access::with(configuration.control_token.clone(), file.http.ip());
    let http = tokio::spawn(http::serve(listener, query_sender, access));
    let (page_sender, mut page_requests) = mpsc::channel(1_024);
    let (pages, certificate) = match &file.browser {
        Some(settings) => {
            let (serving, certificate) = serve_pages(settings, file, page_sender).await?;
            (Some(serving), Some(certificate))
        }
        None => (None, None),
    };
    let drain_max = Duration::from_secs(file.limits.drain_s);
    tracing::info!(
        gateway = %file.name,
        udp = ?endpoint.udp_addresses(),
        tcp = ?endpoint.tcp_addresses(),
        spans = file.spans.len(),
        "gateway up"
    );
    let mut switch = Switch::new(
        configuration.clone(),
        control,
        endpoint,
        lines,
        voice,
        resolver,
        inquiry_sender,
        journal,
        certificate,
    );
    let registration = switch.register();
    let mut report_ticks = tokio::time::interval(REPORT_EVERY);
    report_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // When the program stops waiting for calls, and when it stops waiting for their end.
    let mut drain_until: Option<Instant> = None;
    let mut end_at: Option<Instant> = None;
    loop {
        if drain_until.is_some() && switch.is_idle() {
            break;
        }
        let stop = end_at.or(drain_until);
        let deadline = switch.next_deadline().into_iter().chain(stop).min();
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = sip_events.next() => switch.sip_event(event),
            Some((span, event)) = span_events.recv() => switch.span_event(span, event),
            Some(event) = media_events.recv() => switch.media_event(event),
            Some(request) = page_requests.recv() => switch.page_request(request),
            Some((call, reply)) = inquiries.recv() => switch.inquiry_answered(call, reply),
            Some(query) = queries.recv() => {
                // Whoever asked may have gone.
                match query {
                    http::Request::Status(reply) => _ = reply.send(switch.status()),
                    http::Request::Order(order, reply) => _ = reply.send(switch.maintain(&order)),
                }
            }
            () = timer => switch.timeout(),
            _ = report_ticks.tick(), if registration.is_some() => {
                if let Some(registration) = &registration {
                    registration.tell(switch.report_to_directories());
                }
            }
            signal = signals.next() => match signal {
                Request::End => {
                    let again = drain_until.is_some();
                    let wait = if again { Duration::ZERO } else { drain_max };
                    drain_until = Some(Instant::now() + wait);
                    switch.drain();
                }
                Request::Reload => {
                    switch.reopen_records();
                    tracing::warn!(
                        "call records reopened; the configuration is read at the start only"
                    );
                }
            },
        }
        let now = Instant::now();
        if end_at.is_none() && drain_until.is_some_and(|until| until <= now) {
            switch.clear_all();
            end_at = Some(now + CLEARING_MAX);
        }
        if end_at.is_some_and(|at| at <= now) {
            break;
        }
    }
    http.abort();
    pages.into_iter().for_each(|pages| pages.abort());
    // The statistics of the last legs are still to come.
    let last = tokio::time::Instant::now() + Duration::from_millis(200);
    while let Ok(Some(event)) = tokio::time::timeout_at(last, media_events.recv()).await {
        switch.media_event(event);
    }
    if let Some(registration) = registration {
        registration.leave().await;
    }
    switch.end().await;
    tracing::info!("gateway down");
    Ok(())
}

/// Begins to take calls from within web pages.
async fn serve_pages(
    settings: &Browser,
    file: &File,
    requests: mpsc::Sender<PageRequest>,
) -> Result<(JoinHandle<()>, Certificate), GatewayError> {
    let tls = match (&settings.certificate, &settings.key) {
        (Some(certificate), Some(key)) => {
            Some(Tls::read(certificate, key).map_err(GatewayError::Certificate)?)
        }
        _ => {
            tracing::warn!(
                "pages call over plain HTTP: browsers allow that from localhost only, or let a \
                 proxy with a certificate stand before browser.listen"
            );
            None
        }
    };
    let at = format!("pages at {}", settings.listen);
    let listener = http::bind(settings.listen).await.map_err(system(at))?;
    let certificate = Certificate::generate()?;
    tracing::info!(listen = %settings.listen, tls = tls.is_some(), "pages may call");
    let serving = browser::serve(listener, tls, settings.clone(), file.limits.calls, requests);
    Ok((tokio::spawn(serving), certificate))
}

fn start_media(configuration: &Configuration) -> Result<Media, MediaError> {
    let (rtp, limits) = (&configuration.file.rtp, &configuration.file.limits);
    Media::start(MediaConfig {
        cores: rtp.workers.clone(),
        backend: match rtp.back_end {
            BackEnd::Auto => None,
            BackEnd::AfXdp => Some(Backend::AfXdp),
            BackEnd::IoUring => Some(Backend::IoUring),
            BackEnd::Mio => Some(Backend::Mio),
        },
        device: rtp_device(rtp),
        xdp_mode: match rtp.xdp {
            Xdp::Auto => None,
            Xdp::Native => Some(Mode::Native),
            Xdp::Generic => Some(Mode::Generic),
        },
        kernel_relay: match rtp.kernel_relay {
            KernelRelay::Auto => None,
            KernelRelay::On => Some(true),
            KernelRelay::Off => Some(false),
        },
        rtp_ports: rtp.ports.first..=rtp.ports.last,
        load_max: Some(limits.media_load),
        allowance: (limits.rtp_rate > 0)
            .then(|| PacketAllowance { times: limits.rtp_rate, ..PacketAllowance::default() }),
        rtp_timeout: Duration::from_secs(rtp.timeout_s),
        playout: PlayoutConfig { start_margin: START_MARGIN_SAMPLES, ..PlayoutConfig::default() },
        ..MediaConfig::default()
    })
}

/// The device that RTP comes by.
fn rtp_device(rtp: &Rtp) -> Option<String> {
    if rtp.device.is_some() {
        return rtp.device.clone();
    }
    let found = Network::open().and_then(|mut network| network.device_of(rtp.address));
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, address = %rtp.address, "cannot learn which device has rtp.address");
        None
    })
}

fn call_control(configuration: &Configuration, lines: &Lines) -> CallControl {
    let mut trunks = Trunks::default();
    for span in &lines.spans {
        let index = trunks.add_span(span.variant.b_channels.iter().copied());
        trunks.set_parity(
            index,
            match span.side {
                Side::User => Parity::Odd,
                Side::Network => Parity::Even,
            },
        );
    }
    for group in &configuration.trunk_groups {
        trunks.add_group(group.clone());
    }
    let file = &configuration.file;
    let mut routing = Routing::new(file.country.clone(), configuration.routes.clone());
    for (number, target) in &configuration.phones {
        routing.set_phone(*number, target.clone());
    }
    let limits = Limits { calls_max: file.limits.calls, setup_max: configuration.setup_max() };
    CallControl::new(routing, trunks, limits)
}
