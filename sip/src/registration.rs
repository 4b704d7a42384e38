//! Our own registration with a registrar, kept alive.

use std::sync::Arc;
use std::time::Duration;

use rsipstack::dialog::registration::Registration;
use rsipstack::sip::{self, StatusCodeKind};

use crate::config::Register;
use crate::endpoint::Shared;
use crate::event::{Event, Transport};
use crate::leg::{stack_credential, transport_of};
use crate::uri::Uri;

/// First pause after a failure; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Registers and renews at two thirds of what was granted; takes the registration back when
/// the endpoint ends.
pub(crate) async fn keep(shared: Arc<Shared>, register: Register) {
    let transport = transport_of(&register.registrar, shared.has_udp());
    let mut registrar = register.registrar.clone();
    if transport == Transport::Tcp && registrar.param("transport").is_none() {
        registrar = registrar.with_param("transport", Some("tcp"));
    }
    let Ok(server) = sip::Uri::try_from(address_of_record(&registrar, &register.user).to_string())
    else {
        return;
    };
    let credential = register.credential.clone().map(stack_credential);
    let mut stack = Registration::new(Arc::clone(&shared.stack), credential);
    let mut contact = shared.contact(transport, None);
    contact.auth = Some(sip::Auth { user: register.user.clone(), password: None });
    stack.contact =
        Some(sip::typed::Contact { display_name: None, uri: contact, params: Vec::new() });

    let mut pause = FIRST_PAUSE;
    loop {
        let attempt = stack.register(server.clone(), Some(register.expires_s));
        let response = tokio::select! {
            () = shared.end.cancelled() => return,
            response = attempt => response,
        };
        let wait = match response {
            Ok(response) if response.status_code.kind() == StatusCodeKind::Successful => {
                pause = FIRST_PAUSE;
                let expires_s = stack.expires();
                let _ = shared.events.send(Event::Registration { expires_s }).await;
                Duration::from_secs(u64::from(expires_s)) * 2 / 3
            }
            other => {
                let status = other.map_or(408, |response| u16::from(response.status_code));
                let _ = shared.events.send(Event::RegistrationFailed { status }).await;
                let wait = pause;
                pause = (pause * 2).min(LONGEST_PAUSE);
                wait
            }
        };
        tokio::select! {
            () = shared.end.cancelled() => return,
            () = tokio::time::sleep(wait.max(Duration::from_secs(1))) => {}
        }
    }
}

/// The stack takes the To of a REGISTER from the server's URI, so our user stands in it. As a
/// request URI that is more than RFC 3261 §10.2 asks for; registrars look at To.
fn address_of_record(registrar: &Uri, user: &str) -> Uri {
    Uri { user: user.to_owned(), ..registrar.clone() }
}
