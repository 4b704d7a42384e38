//! DNS cookies (RFC 7873, RFC 9018): by them an honest client is told from a forged source.

use std::net::IpAddr;

use domain::base::Serial;
use domain::base::iana::OptionCode;
use domain::base::opt::{Cookie, Opt, UnknownOptData};

/// Secrets that sign cookies. Several servers behind one address share them.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieSecrets {
    /// Signs and is believed.
    pub now: [u8; 16],
    /// Is still believed (RFC 9018 §5: while all servers take over a new one).
    pub before: Option<[u8; 16]>,
}

impl std::fmt::Debug for CookieSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CookieSecrets")
    }
}

/// What a query says about cookies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// Nothing.
    None,
    /// A client cookie; ours of before is right, or there is none or a wrong one.
    Cookie { cookie: Cookie, valid: bool },
    /// An option of a length that none has.
    Malformed,
}

impl CookieSecrets {
    /// Reads and checks the cookie option of a query.
    pub(crate) fn read(&self, opt: &Opt<&[u8]>, source: IpAddr, unix_s: u64) -> Shown {
        let mut options = opt.iter::<UnknownOptData<_>>().filter_map(Result::ok);
        // RFC 7873 §5.2: of several the first counts.
        let Some(option) = options.find(|option| option.code() == OptionCode::COOKIE) else {
            return Shown::None;
        };
        // RFC 7873 §5.2.2: 8 octets of the client's, and of ours none or 8 to 32.
        if !matches!(option.as_slice().len(), 8 | 16..=40) {
            return Shown::Malformed;
        }
        let Some(cookie) = opt.cookie() else {
            return Shown::Malformed;
        };
        let fresh = |at: Serial| {
            // RFC 9018 §4.3: an hour old at most, and five minutes ahead for unequal clocks.
            let age_s = (unix_s as u32).wrapping_sub(at.into_int()).cast_signed();
            (-300..=3600).contains(&age_s)
        };
        let source = source.to_canonical();
        let valid = [Some(&self.now), self.before.as_ref()]
            .into_iter()
            .flatten()
            .any(|secret| cookie.check_server_hash(source, secret, fresh));
        Shown::Cookie { cookie, valid }
    }

    /// The cookie for the answer.
    pub(crate) fn answer(&self, cookie: &Cookie, source: IpAddr, unix_s: u64) -> Cookie {
        cookie.create_response(Serial(unix_s as u32), source.to_canonical(), &self.now)
    }
}
