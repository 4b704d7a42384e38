//! Editions for tests and fuzzers.

use std::sync::Arc;
use std::time::Instant;

use trunkline_number::CountryProfile;

use crate::configuration;
use crate::edition::Edition;
use crate::enum_server::{Clients, CookieSecrets, Zone};
use crate::gateways::{Gateways, State};
use crate::table::Table;

/// e164.arpa and enum.example; gateways by their addresses; everybody may ask.
pub(crate) fn zone() -> Zone {
    let name = |text: &str| text.parse().expect("a domain name");
    Zone {
        apexes: vec![name("e164.arpa"), name("enum.example")],
        gateway_domain: None,
        ttl_s: 60,
        negative_ttl_s: 5,
        live_ttl_s: 1,
        server_name: name("ns.example"),
        contact: name("hostmaster.example"),
        serial: 77,
        utc_offset_min: 540,
        clients: Clients::default(),
        cookies: Some(CookieSecrets { now: [7; 16], before: Some([6; 16]) }),
    }
}

/// An edition of a table as an operator writes it; its gateways in these states, the rest in
/// service.
pub(crate) fn edition(table: &str, states: &[State], zone: Zone) -> Edition {
    let provisioned = configuration::table(table).expect("a table without mistakes");
    let mut all = vec![State::default(); provisioned.gateways.len()];
    all[..states.len()].clone_from_slice(states);
    Edition {
        zone: Arc::new(zone),
        table: Table::new(provisioned.prefixes),
        gateways: Gateways::new(provisioned.gateways.into_iter().map(Arc::new).collect())
            .with_states(all),
        country: Arc::new(CountryProfile::japan()),
        version: 0,
        loaded_at: Instant::now(),
    }
}
