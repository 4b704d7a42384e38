//! What happens on the side of web pages: what their HTTP requests and their browsers' datagrams mean for
//! call control, and the other way round.

use std::time::Instant;

use trunkline_call::LegId;
use trunkline_call::control::{PacketOffer, Release};
use trunkline_call::interworking::Location;
use trunkline_rtp::codec::Codec;
use trunkline_webrtc::{Action, Certificate, Credentials, End, Offer, Path, Session};

use super::pages::PageLeg;
use super::voice::VoiceError;
use super::{BEARER_NOT_IMPLEMENTED, Switch, TEMPORARY_FAILURE};
use crate::browser::{Accepted, CallRefused, PageCall, PageEvent, PageRequest};

/// The page has hung up (Q.850 16).
const NORMAL_CLEARING: u8 = 16;

/// A page has gone without a word (Q.850 102: recovery on timer expiry).
const TIMER_EXPIRY: u8 = 102;

/// What cannot be read of an offer.
const BAD_OFFER: CallRefused = CallRefused { status: 400, cause: None, reason: "offer" };

/// There is no such call any more.
const OVER: CallRefused = CallRefused { status: 404, cause: None, reason: "over" };

impl Switch {
    /// A page asks for something. Whoever asked may have gone: then nobody hears the answer.
    pub fn page_request(&mut self, request: PageRequest) {
        let now = Instant::now();
        match request {
            PageRequest::Call(call) => self.called_by_page(now, call),
            PageRequest::Events { id, reply } => {
                let _ = reply.send(self.pages.listen(&id));
            }
            PageRequest::Offer { id, offer, reply } => {
                let _ = reply.send(self.offered_again_by_page(&id, &offer));
            }
            PageRequest::HangUp { id, reply } => {
                let leg = self.pages.leg_of(&id);
                let _ = reply.send(leg.is_some());
                if let Some(leg) = leg {
                    self.page_gone(now, leg, Release::with_cause(NORMAL_CLEARING));
                }
            }
        }
        self.carry_out(now);
    }

    fn called_by_page(&mut self, now: Instant, call: PageCall) {
        let PageCall { number, origin, from, longest, offer, reply } = call;
        let Some(certificate) = self.certificate.clone() else { return };
        let offer = match Offer::parse(&offer) {
            Ok(offer) => offer,
            Err(error) => {
                tracing::warn!(%error, %origin, %from, "a page's offer cannot be used");
                let _ = reply.send(Err(BAD_OFFER));
                return;
            }
        };
        *self.calls.offered.entry("packet").or_default() += 1;
        self.pages.counters.offered += 1;
        self.look_for_room(now);
        let (call, leg) = self.control.offered_by_packet(
            now,
            PacketOffer {
                peer: format!("{from} page of {origin}"),
                called: number.to_string(),
                calling: None,
                redirection: None,
                hops: None,
            },
        );
        let name = self.name_call(call, Some(number));
        tracing::info!(call = %name, %number, %origin, source = %from, "call from a page");
        self.pages.insert(leg, PageLeg::new(reply, longest));
        if !self.control.is_releasing(leg) {
            match self.open_page(now, leg, &offer, &certificate) {
                Ok(answer) => {
                    if let Some((_, first)) =
                        self.pages.of(leg).and_then(|page| page.first.as_mut())
                    {
                        *first = Some(answer);
                    }
                    self.pages.note_deadline(leg);
                }
                Err(error) => {
                    if let Some(congestion) = error.congestion() {
                        self.control.refuse(now, call, congestion);
                    } else {
                        tracing::warn!(call = %name, %error, "no media for the page");
                        let cause = match error {
                            VoiceError::Description(_) | VoiceError::NoLeg => {
                                BEARER_NOT_IMPLEMENTED
                            }
                            _ => TEMPORARY_FAILURE,
                        };
                        self.control.leg_disconnected(now, leg, Release::by_gateway(cause));
                    }
                }
            }
        }
        // A call that goes nowhere is refused by what comes of this.
        self.carry_out(now);
        let Some(page) = self.pages.of(leg) else { return };
        let id = page.id.clone();
        if let Some((reply, Some(answer))) = page.first.take()
            && reply.send(Ok(Accepted { id, answer })).is_err()
        {
            // The page has left while it waited.
            self.page_gone(now, leg, Release::with_cause(NORMAL_CLEARING));
        }
    }

    /// Opens the media and the path of a page; gives our answer.
    fn open_page(
        &mut self,
        now: Instant,
        leg: LegId,
        offer: &Offer,
        certificate: &Certificate,
    ) -> Result<Vec<u8>, VoiceError> {
        if self.control.will_be_pair(leg) {
            // Its media would be a pair's, which knows no path beside RTP yet.
            return Err(VoiceError::NoLeg);
        }
        let settings = self.configuration.file.browser.as_ref();
        let codecs = settings.map(|browser| browser.codecs.as_slice()).unwrap_or_default();
        let codecs: Vec<Codec> = codecs.iter().map(|codec| codec.codec()).collect();
        let media = offer.media(self.configuration.file.rtp.address);
        let opened = self.voice.open_page(leg, &media, &codecs)?;
        let credentials = Credentials::generate(|octets| rand::fill(octets));
        let session = Session::new(offer, credentials.clone(), certificate, now)?;
        let fingerprint = certificate.fingerprint();
        let path = Path { address: opened.local, credentials, fingerprint };
        let answer = offer.answer(&opened.answer, &path)?;
        if let Some(page) = self.pages.of(leg) {
            page.path = Some((session, opened.beside));
        }
        Ok(answer)
    }

    /// The network under a page has changed, and it offers another way to itself.
    fn offered_again_by_page(&mut self, id: &str, offer: &[u8]) -> Result<Vec<u8>, CallRefused> {
        let leg = self.pages.leg_of(id).ok_or(OVER)?;
        let call = self.name_of_leg(leg).map(str::to_owned);
        let certificate = self.certificate.clone().ok_or(OVER)?;
        let unusable = |error: VoiceError| {
            tracing::warn!(call, %error, "a page's further offer cannot be used");
            BAD_OFFER
        };
        let offer = Offer::parse(offer).map_err(VoiceError::from).map_err(&unusable)?;
        let page = self.pages.of(leg).ok_or(OVER)?;
        let (session, _) = page.path.as_mut().ok_or(OVER)?;
        let credentials = Credentials::generate(|octets| rand::fill(octets));
        session
            .restart(&offer, credentials.clone())
            .map_err(VoiceError::from)
            .map_err(&unusable)?;
        let media = offer.media(self.configuration.file.rtp.address);
        let (answer, address) = self.voice.offered_by_page_again(leg, &media).map_err(&unusable)?;
        let path = Path { address, credentials, fingerprint: certificate.fingerprint() };
        tracing::info!(call, "the page looks for another way to itself");
        offer.answer(&answer, &path).map_err(VoiceError::from).map_err(&unusable)
    }

    /// Datagrams beside RTP wait.
    pub(super) fn beside_rtp(&mut self, now: Instant, leg: LegId) {
        let Some(page) = self.pages.of(leg) else { return };
        let Some((session, beside)) = &mut page.path else { return };
        while let Some(datagram) = beside.take() {
            session.arrived(now, datagram.from, datagram.octets());
        }
        self.follow(now, leg);
    }

    /// The time of some pages has come.
    pub(super) fn pages_timeout(&mut self, now: Instant) {
        for leg in self.pages.due(now) {
            let Some(page) = self.pages.of(leg) else { continue };
            let is_over = page.ends_at.is_some_and(|ends_at| ends_at <= now);
            if let Some((session, _)) = &mut page.path {
                session.timeout(now);
            }
            if is_over {
                tracing::info!("a page's call has lasted as long as it may");
                page.ends_at = None;
                self.control.leg_disconnected(now, leg, Release::by_gateway(NORMAL_CLEARING));
                self.carry_out(now);
            }
            self.follow(now, leg);
        }
    }

    /// Does what a page's session wants done.
    fn follow(&mut self, now: Instant, leg: LegId) {
        let call = self.name_of_leg(leg).map(str::to_owned);
        loop {
            let path = self.pages.of(leg).and_then(|page| page.path.as_mut());
            let Some(action) = path.and_then(|(session, _)| session.poll_action()) else { break };
            let outcome = match action {
                Action::Send { to, octets } => self.voice.send_beside(leg, to, octets),
                Action::Secured { remote, keys } => {
                    let suite = keys.local.suite().name();
                    tracing::info!(call, %remote, suite, "the page is reached");
                    self.pages.counters.secured += 1;
                    self.voice.page_secured(leg, remote, keys)
                }
                Action::Moved { remote } => {
                    tracing::info!(call, %remote, "the page is somewhere else now");
                    self.voice.page_moved(leg, remote)
                }
                Action::Ended(end) => {
                    self.page_ended(now, leg, call.as_deref(), &end);
                    return;
                }
            };
            if let Err(error) = outcome {
                tracing::error!(call, %error, "a page's media cannot follow");
                self.page_gone(now, leg, Release::by_gateway(TEMPORARY_FAILURE));
                return;
            }
        }
        self.pages.note_deadline(leg);
    }

    fn page_ended(&mut self, now: Instant, leg: LegId, call: Option<&str>, end: &End) {
        let release = match end {
            End::Closed => Release::with_cause(NORMAL_CLEARING),
            End::Lost => {
                tracing::warn!(call, "the page is gone");
                self.pages.counters.lost += 1;
                Release::by_gateway(TIMER_EXPIRY)
            }
            End::Unreached | End::Impostor | End::Handshake(_) => {
                tracing::warn!(call, why = ?end, "the page cannot be reached");
                self.pages.counters.unreached += 1;
                Release::by_gateway(TEMPORARY_FAILURE)
            }
        };
        self.page_gone(now, leg, release);
    }

    /// The page has ended the call, or it ended under it.
    fn page_gone(&mut self, now: Instant, leg: LegId, release: Release) {
        self.close_page(now, leg, &release);
        self.control.leg_released(now, leg, release);
    }

    /// Call control ends a page's call; false if the leg is none of a page.
    pub(super) fn release_page(&mut self, now: Instant, leg: LegId, release: &Release) -> bool {
        self.close_page(now, leg, release)
    }

    fn close_page(&mut self, now: Instant, leg: LegId, release: &Release) -> bool {
        let reason = reason_of(release);
        let ended = PageEvent::Ended { cause: release.cause, reason };
        if let Some(page) = self.pages.of(leg)
            && let Some((session, _)) = &mut page.path
        {
            // Says goodbye to a browser that is still there.
            session.close();
            while let Some(action) = session.poll_action() {
                if let Action::Send { to, octets } = action {
                    let _ = self.voice.send_beside(leg, to, octets);
                }
            }
        }
        let Some(page) = self.pages.remove(now, leg, ended) else { return false };
        if let Some((reply, _)) = page.first {
            // What it means to an HTTP client: to try the next gateway, or not.
            let status = match (reason, release.cause) {
                ("no_such_number", _) => 404,
                ("no_line" | "line_down", _) => 503,
                (_, BEARER_NOT_IMPLEMENTED) => 400,
                _ => 409,
            };
            let refused = CallRefused { status, cause: Some(release.cause), reason };
            let _ = reply.send(Err(refused));
        }
        self.voice.close(leg);
        true
    }

    /// The page hears something, or hears it ring; false if the leg is none of a page.
    pub(super) fn tell_page(&mut self, leg: LegId) -> bool {
        let Some(page) = self.pages.of(leg) else { return false };
        page.tell(PageEvent::Ringing);
        true
    }

    /// The called side has answered; false if the leg is none of a page.
    pub(super) fn answer_page(&mut self, now: Instant, leg: LegId) -> bool {
        let Some(page) = self.pages.of(leg) else { return false };
        page.tell(PageEvent::Answered);
        page.ends_at = Some(now + page.longest);
        self.pages.note_deadline(leg);
        true
    }
}

/// Why a call ended, in a word that the page's script has a sentence for.
fn reason_of(release: &Release) -> &'static str {
    match release.cause {
        16 | 31 => "hung_up",
        17 => "busy",
        18..=20 => "no_answer",
        21 => "declined",
        1 | 22 | 28 => "no_such_number",
        34 | 41 | 42 | 44 | 47 => "no_line",
        27 | 38 => "line_down",
        TIMER_EXPIRY if release.location != Some(Location::USER) => "lost",
        _ => "failed",
    }
}
