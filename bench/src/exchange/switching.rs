//! Calls between telephones and spans: the exchange's one task.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use trunkline_dsp::g711::Law;
use trunkline_dsp::{dtmf, tone};
use trunkline_isdn::{
    Accompanying, BearerCapability, CallId as LineCall, Configuration as IsdnConfiguration,
    Indication, Number, NumberType, Output, Presentation, PrimaryRate, Redirecting,
    RedirectionReason, Request, Screening, Setup, Side, TransferCapability, Variant,
};
use trunkline_number::{CountryProfile, Dialled, E164};
use trunkline_program::signal::{Request as Signal, Signals};
use trunkline_tdm::{Clock, Span, SpanConfig, SpanEvent, TdmError, TdmoeConfig, TdmoeLine};

use super::configuration::Configuration;
use super::control::{self, CallReport, Manner, Order, SpanReport, Stated};
use super::recorder::Recording;
use super::telephone::{Deed, Telephone};
use super::voice::{Mouth, Sound, Voice};

/// Ring-back and busy tone repeat after this: a whole number of their cadences.
const TONE_SAMPLES: usize = 3 * 8_000;

/// Duration of a keyed digit and of the pause behind it.
const KEY_MS: (u32, u32) = (100, 100);

/// Reports of calls that are over are kept so long in number.
const REPORTS_MAX: usize = 10_000;

/// Why the exchange does not run.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// A span could not be started.
    #[error("span {name}: {error}")]
    Span {
        /// Its name.
        name: String,
        /// What went wrong.
        error: TdmError,
    },
    /// A telephone's recorded speech cannot be read.
    #[error("telephone {telephone}: {path}: {why}")]
    Speech {
        /// The telephone.
        telephone: E164,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An address or a signal could not be had.
    #[error(transparent)]
    System(#[from] std::io::Error),
}

/// A span of the exchange.
struct Trunk {
    name: String,
    network: usize,
    span: Span,
    interface: PrimaryRate,
    variant: Variant,
    asks_for_digits: bool,
    /// Calls that wait for digits.
    dialling: HashMap<LineCall, Setup>,
}

/// A call of a telephone over a span.
struct Call {
    telephone_index: usize,
    telephone: Telephone,
    outgoing: bool,
    other: Option<String>,
    stated: Stated,
    trunk: usize,
    line_call: LineCall,
    timeslot: u8,
    mouth: Mouth,
    recording: Option<Recording>,
    state: &'static str,
    cause: Option<u8>,
    /// Digits that are sent when the other end asks for more.
    to_dial: String,
}

/// The exchange.
pub struct Exchange {
    configuration: Configuration,
    profile: CountryProfile,
    /// What is said into each telephone.
    speech: Vec<Option<Sound>>,
    trunks: Vec<Trunk>,
    calls: BTreeMap<u64, Call>,
    by_line: HashMap<(usize, LineCall), u64>,
    ended: Vec<CallReport>,
    calls_begun: u64,
}

/// Runs an exchange until SIGTERM or SIGINT.
pub async fn run(configuration: Configuration) -> Result<(), ExchangeError> {
    let mut signals = Signals::catch()?;
    let listener = TcpListener::bind(configuration.file.http).await?;
    std::fs::create_dir_all(&configuration.file.recordings)?;
    let (orders, mut order_queue) = mpsc::channel(64);
    let (span_events, mut span_queue) = mpsc::channel(1_024);
    let mut exchange = Exchange::start(configuration, &span_events)?;
    let http = tokio::spawn(control::serve(listener, orders));
    loop {
        let deadline = exchange.next_deadline();
        let timer = async {
            match deadline {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some((trunk, event)) = span_queue.recv() => exchange.span_event(trunk, event),
            Some(order) = order_queue.recv() => exchange.order(order),
            () = timer => exchange.timeout(),
            signal = signals.next() => if signal == Signal::End { break },
        }
        exchange.carry_out();
    }
    http.abort();
    exchange.end();
    Ok(())
}

impl Exchange {
    fn start(
        configuration: Configuration,
        events: &mpsc::Sender<(usize, SpanEvent)>,
    ) -> Result<Self, ExchangeError> {
        let mut trunks = Vec::new();
        for (network, entry) in configuration.file.networks.iter().enumerate() {
            for span in &entry.spans {
                let failed = |error| ExchangeError::Span { name: span.name.clone(), error };
                let variant = span.variant();
                let mut line = TdmoeConfig::e1(span.local, span.remote, Clock::Internal);
                if variant.d_channel == 24 {
                    line.timeslots = 24;
                }
                let line = TdmoeLine::open(line).map_err(failed)?;
                let number = trunks.len();
                let mut config = SpanConfig::e1(span.name.clone(), number as u16);
                config.d_channel = Some(variant.d_channel);
                let (span_handle, mut span_events) =
                    Span::start(config, Box::new(line)).map_err(failed)?;
                let events = events.clone();
                tokio::spawn(async move {
                    while let Some(event) = span_events.next().await {
                        if events.send((number, event)).await.is_err() {
                            return;
                        }
                    }
                });
                let interface = PrimaryRate::new(IsdnConfiguration::new(Side::Network, variant));
                trunks.push(Trunk {
                    name: span.name.clone(),
                    network,
                    span: span_handle,
                    interface,
                    variant,
                    asks_for_digits: span.asks_for_digits,
                    dialling: HashMap::new(),
                });
            }
        }
        let speech = configuration
            .telephones
            .iter()
            .map(|telephone| {
                let Some(path) = &telephone.entry.speak else { return Ok(None) };
                read_speech(path).map(Some).map_err(|why| ExchangeError::Speech {
                    telephone: telephone.number,
                    path: path.clone(),
                    why,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            configuration,
            profile: CountryProfile::japan(),
            speech,
            trunks,
            calls: BTreeMap::new(),
            by_line: HashMap::new(),
            ended: Vec::new(),
            calls_begun: 0,
        })
    }

    fn span_event(&mut self, trunk: usize, event: SpanEvent) {
        let now = Instant::now();
        let Some(Trunk { name, interface, .. }) = self.trunks.get_mut(trunk) else { return };
        match event {
            SpanEvent::Frame(frame) => interface.frame(now, &frame),
            SpanEvent::Alarm(alarms) => {
                tracing::info!(span = %name, alarm = %alarms, "alarm");
                if alarms.is_clear() {
                    interface.line_up(now);
                } else {
                    interface.line_down(now);
                }
            }
            SpanEvent::Ended(Some(error)) => tracing::error!(span = %name, %error, "span ended"),
            // What a telephone spoke with is dropped here.
            _ => {}
        }
    }

    fn timeout(&mut self) {
        let now = Instant::now();
        for trunk in &mut self.trunks {
            trunk.interface.timeout(now);
        }
        for call in self.calls.values_mut() {
            call.telephone.timeout(now);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let of_lines = self.trunks.iter().filter_map(|trunk| trunk.interface.next_deadline());
        let of_calls = self.calls.values().filter_map(|call| call.telephone.next_deadline());
        of_lines.chain(of_calls).min()
    }

    /// Carries out what the interfaces and the telephones want, until nothing is left to do.
    fn carry_out(&mut self) {
        loop {
            let mut quiet = true;
            for trunk in 0..self.trunks.len() {
                while let Some(output) = self.trunks[trunk].interface.poll_output() {
                    quiet = false;
                    self.line_output(trunk, output);
                }
            }
            let calls: Vec<u64> = self.calls.keys().copied().collect();
            for call in calls {
                while let Some(deed) =
                    self.calls.get_mut(&call).and_then(|call| call.telephone.poll_deed())
                {
                    quiet = false;
                    self.deed(call, deed);
                }
            }
            if quiet {
                return;
            }
        }
    }

    fn line_output(&mut self, trunk: usize, output: Output) {
        match output {
            Output::Frame(frame) => {
                if let Err(error) = self.trunks[trunk].span.send_frame(frame) {
                    tracing::warn!(span = %self.trunks[trunk].name, %error, "frame not sent");
                }
            }
            Output::LinkUp => tracing::info!(span = %self.trunks[trunk].name, "data link up"),
            Output::LinkDown => tracing::info!(span = %self.trunks[trunk].name, "data link down"),
            Output::LinkNotEstablished { .. } => {
                tracing::info!(span = %self.trunks[trunk].name, "data link does not come up");
            }
            Output::Restarted { .. } | Output::RestartFailed { .. } | Output::Service { .. } => {}
            Output::Call { call, indication } => self.indication(trunk, call, indication),
        }
    }

    fn indication(&mut self, trunk: usize, line_call: LineCall, indication: Indication) {
        let now = Instant::now();
        if let Indication::Setup(setup) = indication {
            let line = &mut self.trunks[trunk];
            let more = Request::MoreDigits { dial_tone: true };
            if line.asks_for_digits && line.interface.request(now, line_call, more).is_ok() {
                line.dialling.insert(line_call, *setup);
            } else {
                self.called(trunk, line_call, &setup);
            }
            return;
        }
        if self.trunks[trunk].dialling.contains_key(&line_call) {
            self.dialled(trunk, line_call, &indication);
            return;
        }
        let Some(&number) = self.by_line.get(&(trunk, line_call)) else { return };
        let Some(call) = self.calls.get_mut(&number) else { return };
        match indication {
            Indication::Connect => {
                call.state = "talking";
                call.telephone.answered(now);
                self.speak(number);
            }
            Indication::MoreDigits { .. } => {
                for digit in std::mem::take(&mut call.to_dial).chars() {
                    let digits = digit.to_string();
                    self.request(number, Request::Digits { digits, complete: false });
                }
            }
            Indication::Disconnect { cause, .. } => {
                call.mouth.be_silent();
                let answer = Request::Disconnect { cause: cause.value, in_band: false };
                self.request(number, answer);
            }
            Indication::Released { cause, .. } => self.over(number, cause.value),
            _ => {}
        }
    }

    /// Something came for a call of the gateway's that waits for digits.
    fn dialled(&mut self, trunk: usize, line_call: LineCall, indication: &Indication) {
        let dialling = &mut self.trunks[trunk].dialling;
        match indication {
            Indication::Digits { digits, complete } => {
                let Some(setup) = dialling.get_mut(&line_call) else { return };
                setup.called.digits.push_str(digits);
                if *complete && let Some(setup) = dialling.remove(&line_call) {
                    self.called(trunk, line_call, &setup);
                }
            }
            Indication::Released { .. } => _ = dialling.remove(&line_call),
            _ => {}
        }
    }

    /// The gateway calls a telephone.
    fn called(&mut self, trunk: usize, line_call: LineCall, setup: &Setup) {
        let now = Instant::now();
        let number = self.understood(&setup.called);
        let refuse = |exchange: &mut Self, cause| {
            let request = Request::Disconnect { cause, in_band: false };
            let outcome = exchange.trunks[trunk].interface.request(now, line_call, request);
            if let Err(error) = outcome {
                tracing::warn!(%error, "a call could not be refused");
            }
        };
        let network = self.trunks[trunk].network;
        let telephone = self
            .configuration
            .telephones
            .iter()
            .position(|known| Some(known.number) == number && known.network == network);
        let Some(telephone_index) = telephone else {
            // Q.850: 1, unallocated number.
            refuse(self, 1);
            return;
        };
        if self.is_busy(trunk, setup.channel) {
            // Q.850: 44, requested channel not available.
            refuse(self, 44);
            return;
        }
        let other = setup.calling.as_ref().map(|calling| calling.digits.clone());
        let telephone =
            Telephone::called(now, &self.configuration.telephones[telephone_index].entry);
        let line = (trunk, line_call, setup.channel);
        let begun = self.begin(telephone_index, telephone, false, other, line);
        self.calls.get_mut(&begun).expect("begun above").stated = stated(setup);
        self.request(begun, Request::Proceeding);
    }

    /// A telephone calls out over its network's span.
    fn call_out(&mut self, telephone: &str, to: &str, manner: &Manner) -> Result<u64, String> {
        let now = Instant::now();
        let number: E164 = telephone.parse().map_err(|_| "no such telephone".to_owned())?;
        let telephone_index = self
            .configuration
            .telephones
            .iter()
            .position(|known| known.number == number)
            .ok_or("no such telephone")?;
        let network = self.configuration.telephones[telephone_index].network;
        let dialled = Dialled::parse(to, &self.profile).map_err(|error| error.to_string())?;
        let Dialled::E164(called) = dialled else {
            return Err("short codes do not leave the exchange".to_owned());
        };
        let (trunk, timeslot) = self.free_channel(network).ok_or("no free channel")?;
        let mut number_to_dial = self.line_number(called);
        let at = if manner.digit_by_digit { 2 } else { number_to_dial.digits.len() };
        let to_dial = number_to_dial.digits.split_off(at);
        let redirecting = manner.redirecting.as_deref().map(str::parse::<E164>).transpose();
        let redirecting = redirecting.map_err(|_| "redirecting: no E.164 digits".to_owned())?;
        let redirecting = redirecting.map(|number| Redirecting {
            number: Number { screening: Screening::Network, ..self.line_number(number) },
            reason: manner.redirecting_reason.map(RedirectionReason::from_bits),
        });
        let setup = Setup {
            channel: timeslot,
            exclusive: true,
            bearer: BearerCapability {
                transfer: TransferCapability::Speech,
                user_layer_1: Some(self.trunks[trunk].variant.user_layer_1),
            },
            called: number_to_dial,
            calling: Some(Number {
                presentation: match manner.restricted {
                    true => Presentation::Restricted,
                    false => Presentation::Allowed,
                },
                // The exchange knows the numbers of its telephones.
                screening: Screening::Network,
                ..self.line_number(number)
            }),
            sending_complete: !manner.digit_by_digit,
            accompanying: Accompanying { redirecting, ..Accompanying::default() },
        };
        let line_call =
            self.trunks[trunk].interface.setup(now, &setup).map_err(|error| error.to_string())?;
        let telephone = Telephone::calling(&self.configuration.telephones[telephone_index].entry);
        let line = (trunk, line_call, timeslot);
        let call = self.begin(telephone_index, telephone, true, Some(called.to_string()), line);
        self.calls.get_mut(&call).expect("begun above").to_dial = to_dial;
        Ok(call)
    }

    fn begin(
        &mut self,
        telephone_index: usize,
        telephone: Telephone,
        outgoing: bool,
        other: Option<String>,
        (trunk, line_call, timeslot): (usize, LineCall, u8),
    ) -> u64 {
        self.calls_begun += 1;
        let number = self.calls_begun;
        let law = if self.trunks[trunk].variant.is_mu_law() { Law::Mu } else { Law::A };
        let (voice, mouth, heard) = Voice::silent(law);
        let file = format!(
            "call-{number}-{}.wav",
            self.configuration.telephones[telephone_index].number.as_digits()
        );
        let path = self.configuration.file.recordings.join(file);
        let is_recorded = self.configuration.telephones[telephone_index].entry.record;
        let recording = is_recorded.then(|| Recording::begin(&path, heard)).and_then(|begun| {
            let failed =
                |error: &_| tracing::error!(path = %path.display(), %error, "no recording");
            begun.inspect_err(failed).ok()
        });
        if let Err(error) = self.trunks[trunk].span.attach(timeslot, Box::new(voice)) {
            tracing::error!(%error, timeslot, "no voice on the timeslot");
        }
        tracing::info!(
            call = number,
            span = %self.trunks[trunk].name,
            timeslot,
            telephone = %self.configuration.telephones[telephone_index].number,
            outgoing,
            "call begun"
        );
        self.by_line.insert((trunk, line_call), number);
        self.calls.insert(
            number,
            Call {
                telephone_index,
                telephone,
                outgoing,
                other,
                stated: Stated::default(),
                trunk,
                line_call,
                timeslot,
                mouth,
                recording,
                state: "ringing",
                cause: None,
                to_dial: String::new(),
            },
        );
        number
    }

    fn deed(&mut self, number: u64, deed: Deed) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        match deed {
            Deed::Ring => {
                call.mouth.speak(Sound::repeated(&tone_samples(&tone::japan::ring_back())));
                self.request(number, Request::Alerting { in_band: true });
            }
            Deed::Answer => {
                call.state = "talking";
                call.mouth.be_silent();
                call.telephone.answered(Instant::now());
                self.request(number, Request::Connect);
                self.speak(number);
            }
            Deed::Key(digits) => call.mouth.speak(Sound::once(&key_samples(&digits))),
            Deed::HangUp(cause) => {
                call.mouth.be_silent();
                self.request(number, Request::Disconnect { cause, in_band: false });
            }
        }
    }

    fn speak(&mut self, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        if let Some(sound) = &self.speech[call.telephone_index] {
            call.mouth.speak(sound.clone());
        }
    }

    fn request(&mut self, number: u64, request: Request) {
        let Some(call) = self.calls.get_mut(&number) else { return };
        let interface = &mut self.trunks[call.trunk].interface;
        if let Err(error) = interface.request(Instant::now(), call.line_call, request) {
            tracing::debug!(call = number, %error, "the line has gone on already");
        }
    }

    fn over(&mut self, number: u64, cause: u8) {
        let Some(mut call) = self.calls.remove(&number) else { return };
        self.by_line.remove(&(call.trunk, call.line_call));
        if let Err(error) = self.trunks[call.trunk].span.detach(call.timeslot) {
            tracing::error!(%error, "timeslot not freed");
        }
        call.state = "ended";
        call.cause = Some(cause);
        tracing::info!(call = number, cause, "call over");
        // The report is made from the recording before that is finished.
        let digits = call.recording.take().map(|recording| {
            let path = recording.path().to_owned();
            (recording.finish(), path)
        });
        let (digits, path) = digits.unzip();
        let mut report = self.report(number, &call);
        report.digits = digits.unwrap_or_default();
        report.recording = path.map(|path| path.display().to_string());
        if self.ended.len() >= REPORTS_MAX {
            self.ended.remove(0);
        }
        self.ended.push(report);
    }

    fn order(&mut self, order: Order) {
        // Whoever asked may have gone meanwhile: answers that nobody takes are dropped.
        match order {
            Order::Call { telephone, to, manner, reply } => {
                let _ = reply.send(self.call_out(&telephone, &to, &manner));
            }
            Order::HangUp { call, cause, reply } => {
                let known = self.calls.contains_key(&call);
                self.request(call, Request::Disconnect { cause, in_band: false });
                let _ = reply.send(known);
            }
            Order::Key { call, digits, reply } => {
                let known = self.calls.get_mut(&call).map(|call| {
                    call.mouth.speak(Sound::once(&key_samples(&digits)));
                });
                let _ = reply.send(known.is_some());
            }
            Order::Calls(reply) => {
                let mut reports = self.ended.clone();
                reports.extend(self.calls.iter().map(|(number, call)| self.report(*number, call)));
                let _ = reply.send(reports);
            }
            Order::Spans(reply) => {
                let reports = self.trunks.iter().map(|trunk| SpanReport {
                    span: trunk.name.clone(),
                    data_link_up: trunk.interface.is_up(),
                    counters: counters(trunk),
                });
                let _ = reply.send(reports.collect());
            }
        }
    }

    fn report(&self, number: u64, call: &Call) -> CallReport {
        CallReport {
            call: number,
            telephone: self.configuration.telephones[call.telephone_index].number.to_string(),
            other: call.other.clone(),
            stated: call.stated.clone(),
            outgoing: call.outgoing,
            state: call.state.to_owned(),
            cause: call.cause,
            recording: call.recording.as_ref().map(|known| known.path().display().to_string()),
            digits: call.recording.as_ref().map(Recording::digits).unwrap_or_default(),
            span: self.trunks[call.trunk].name.clone(),
            timeslot: call.timeslot,
        }
    }

    fn is_busy(&self, trunk: usize, timeslot: u8) -> bool {
        self.calls.values().any(|call| (call.trunk, call.timeslot) == (trunk, timeslot))
    }

    /// The lowest free channel of a network's spans; gateways hunt from the other end.
    fn free_channel(&self, network: usize) -> Option<(usize, u8)> {
        let trunks = self.trunks.iter().enumerate();
        trunks
            .filter(|(_, trunk)| trunk.network == network && trunk.interface.is_up())
            .flat_map(|(index, trunk)| {
                trunk.variant.b_channels.iter().map(move |timeslot| (index, *timeslot))
            })
            .find(|(trunk, timeslot)| !self.is_busy(*trunk, *timeslot))
    }

    fn understood(&self, number: &Number) -> Option<E164> {
        match number.number_type {
            NumberType::International => number.digits.parse().ok(),
            NumberType::National => {
                format!("{}{}", self.profile.country_code, number.digits).parse().ok()
            }
            _ => match Dialled::parse(&number.digits, &self.profile) {
                Ok(Dialled::E164(number)) => Some(number),
                _ => None,
            },
        }
    }

    /// A number as this exchange writes it: national where it is one.
    fn line_number(&self, number: E164) -> Number {
        match number.as_digits().strip_prefix(self.profile.country_code.as_str()) {
            Some(national) => Number::new(NumberType::National, national),
            None => Number::new(NumberType::International, number.as_digits()),
        }
    }

    /// Finishes the recordings and stops the spans.
    fn end(&mut self) {
        let calls: Vec<u64> = self.calls.keys().copied().collect();
        for call in calls {
            self.over(call, 16);
        }
        for trunk in &self.trunks {
            trunk.span.stop();
        }
    }
}

/// What a span counts, by name.
fn counters(trunk: &Trunk) -> BTreeMap<String, u64> {
    let line = trunk.span.counters();
    let interface = trunk.interface.counters();
    let named = [
        ("blocks_received", line.blocks_received),
        ("blocks_missing", line.blocks_missing),
        ("blocks_sent", line.blocks_sent),
        ("sequence_gaps", line.sequence_gaps),
        ("slips", line.slips),
        ("malformed", line.malformed),
        ("d_channel_frames_received", line.d_channel_frames_received),
        ("d_channel_frames_sent", line.d_channel_frames_sent),
        ("hdlc_bad_fcs", line.hdlc_bad_fcs),
        ("q921_frames_repeated", interface.link.frames_repeated),
        ("q921_recoveries", interface.link.recoveries),
        ("q921_rejects", interface.link.rejects),
        ("q931_setups_refused", interface.setups_refused),
    ];
    named.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// What a SETUP of the gateway's says of its caller.
fn stated(setup: &Setup) -> Stated {
    let redirecting = setup.accompanying.redirecting.as_ref();
    let calling = setup.calling.as_ref();
    Stated {
        presentation: calling.map(|number| {
            let text = match number.presentation {
                Presentation::Allowed => "allowed",
                Presentation::Restricted => "restricted",
                Presentation::NotAvailable => "not_available",
                Presentation::Reserved => "reserved",
            };
            text.to_owned()
        }),
        screening: calling.map(|number| {
            let text = match number.screening {
                Screening::UserNotScreened => "user_not_screened",
                Screening::UserPassed => "user_passed",
                Screening::UserFailed => "user_failed",
                Screening::Network => "network",
            };
            text.to_owned()
        }),
        number_type: calling.map(|number| {
            let text = match number.number_type {
                NumberType::International => "international",
                NumberType::National => "national",
                NumberType::Subscriber => "subscriber",
                NumberType::Unknown => "unknown",
                _ => "other",
            };
            text.to_owned()
        }),
        redirecting: redirecting.map(|redirecting| redirecting.number.digits.clone()),
        redirecting_reason: redirecting.and_then(|by| by.reason).map(RedirectionReason::bits),
    }
}

fn read_speech(path: &std::path::Path) -> Result<Sound, String> {
    let mut reader = hound::WavReader::open(path).map_err(|error| error.to_string())?;
    let format = reader.spec();
    if (format.sample_rate, format.bits_per_sample, format.channels) != (8_000, 16, 1) {
        return Err("must be 8 kHz, 16 bit, one channel".to_owned());
    }
    let samples: Result<Vec<i16>, _> = reader.samples().collect();
    Ok(Sound::once(&samples.map_err(|error| error.to_string())?))
}

fn tone_samples(spec: &tone::ToneSpec) -> Vec<i16> {
    let mut samples = vec![0; TONE_SAMPLES];
    tone::ToneGenerator::new(spec).fill(&mut samples);
    samples
}

fn key_samples(digits: &str) -> Vec<i16> {
    let mut samples = Vec::new();
    for digit in digits.chars() {
        let mut generator = dtmf::Generator::new(dtmf::Levels::default());
        if let Err(error) = generator.send(digit, KEY_MS.0, KEY_MS.1) {
            tracing::warn!(%digit, %error, "not a digit");
            continue;
        }
        let from = samples.len();
        samples.resize(from + (KEY_MS.0 + KEY_MS.1) as usize * 8, 0);
        generator.fill(&mut samples[from..]);
    }
    samples
}
