//! Whom to call: from a number typed, a link clicked, or linked data, all of it read as hostile.

use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use trunkline_number::{
    ClickTarget, Dialled, DistrustReason, E164, LinkedData, MAX_LINKED_DATA_OCTETS, NumberError,
    PublicKey, Refusal, Trust,
};

use crate::configuration::Configuration;

/// A party that may be called: understood, and allowed by the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callee {
    /// The number as it was written, to be shown.
    pub written: String,
    /// The number.
    pub number: E164,
    /// The gateway that the linked data names, if it may be believed.
    pub gateway: Option<String>,
    /// The gateway that the linked data names although nobody trusted vouches for it. The
    /// directory is asked instead, and the person is told.
    pub untrusted_gateway: Option<String>,
}

/// Why a number is not called.
#[derive(Debug, thiserror::Error)]
pub enum CalleeError {
    /// It cannot be read.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// The policy refuses it.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// The file cannot be read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
    /// A folder, a device or a pipe.
    #[error("{0}: no file, so no linked data")]
    NoFile(PathBuf),
    /// The file is larger than linked data can be.
    #[error("{0}: larger than {MAX_LINKED_DATA_OCTETS} octets, so it is no linked data")]
    TooLarge(PathBuf),
    /// The linked data is not to be used.
    #[error("{0}")]
    Distrusted(DistrustReason),
    /// A key in the configuration is no public key.
    #[error("trusted_keys: {0:?} is no Ed25519 public key in base64")]
    Key(String),
    /// A short code that the policy lets through, but that no gateway serves.
    #[error("{0} is a short code of the local exchange: dial it on a telephone")]
    ShortCode(String),
}

/// The party for a number that a person typed.
pub fn typed(number: &str, configuration: &Configuration) -> Result<Callee, CalleeError> {
    allowed(number, Dialled::parse(number, &configuration.country)?, configuration)
}

/// The party for what a browser or desktop handed over: the path of linked data or a URI.
/// `now_unix_s` is the time in seconds since 1970.
pub fn clicked(
    argument: &str,
    configuration: &Configuration,
    now_unix_s: u64,
) -> Result<Callee, CalleeError> {
    match ClickTarget::parse(argument)? {
        ClickTarget::Number(number) => {
            allowed(number.as_written(), number.dialled(&configuration.country)?, configuration)
        }
        ClickTarget::File(path) => linked(&path, configuration, now_unix_s),
    }
}

fn linked(
    path: &Path,
    configuration: &Configuration,
    now_unix_s: u64,
) -> Result<Callee, CalleeError> {
    let data = LinkedData::from_bytes(&read(path)?)?;
    if configuration.delete_linked_data
        && path.extension().is_some_and(|extension| extension == "vlf")
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::warn!(path = %path.display(), %error, "linked data could not be deleted");
    }
    let keys = configuration
        .trusted_keys
        .iter()
        .map(|key| key.parse().map_err(|_| CalleeError::Key(key.clone())))
        .collect::<Result<Vec<PublicKey>, _>>()?;
    let trust = data.verify(&keys, now_unix_s);
    let dialled = Dialled::parse(data.number(), &configuration.country)?;
    let mut callee = allowed(data.number(), dialled, configuration)?;
    let listed =
        |gateway: &str| configuration.trusted_gateways.iter().any(|known| known == gateway);
    match (trust, data.gateway()) {
        (Trust::Refused(DistrustReason::NoTrustedKeys), None) | (Trust::Unsigned, None) => {}
        (Trust::Trusted, gateway) => callee.gateway = gateway.map(str::to_owned),
        (Trust::Refused(DistrustReason::NoTrustedKeys) | Trust::Unsigned, Some(gateway)) => {
            if listed(gateway) {
                callee.gateway = Some(gateway.to_owned());
            } else {
                callee.untrusted_gateway = Some(gateway.to_owned());
            }
        }
        (Trust::Refused(why), _) => return Err(CalleeError::Distrusted(why)),
    }
    Ok(callee)
}

fn read(path: &Path) -> Result<Vec<u8>, CalleeError> {
    let failed = |error| CalleeError::File { path: path.to_owned(), error };
    // Not waiting: a pipe that a page has named would keep the phone for ever.
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(failed)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(CalleeError::NoFile(path.to_owned()));
    }
    let mut octets = Vec::new();
    file.take(MAX_LINKED_DATA_OCTETS as u64 + 1).read_to_end(&mut octets).map_err(failed)?;
    if octets.len() > MAX_LINKED_DATA_OCTETS {
        return Err(CalleeError::TooLarge(path.to_owned()));
    }
    Ok(octets)
}

fn allowed(
    written: &str,
    dialled: Dialled,
    configuration: &Configuration,
) -> Result<Callee, CalleeError> {
    configuration.policy.check(&dialled)?;
    match dialled {
        Dialled::E164(number) => {
            let written = written.to_owned();
            Ok(Callee { written, number, gateway: None, untrusted_gateway: None })
        }
        Dialled::Short(code) => Err(CalleeError::ShortCode(code)),
    }
}

#[cfg(test)]
mod tests {
    use trunkline_number::SigningKey;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.vlf");
        std::fs::write(&path, content).unwrap();
        (folder, path.to_string_lossy().into_owned())
    }

    fn data(gateway: Option<&str>) -> LinkedData {
        LinkedData::new("Trunkline Phone", "03-3333-1234", gateway, Some(2_000)).unwrap()
    }

    #[test]
    fn linked_data_gives_the_number_and_is_deleted() {
        let (_folder, path) = file(data(None).to_json().as_bytes());
        let callee = clicked(&path, &Configuration::default(), 1_000).unwrap();
        assert_eq!(callee.number.to_string(), "+81333331234");
        assert_eq!(callee.written, "03-3333-1234");
        assert!(!Path::new(&path).exists());
    }

    #[test]
    fn a_gateway_is_believed_when_signed_or_listed_and_otherwise_warned_of() {
        let key = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
        let signed = data(Some("127.0.0.10")).sign(&key).to_json();
        let trusting = Configuration {
            trusted_keys: vec![key.public_key().to_string()],
            ..Configuration::default()
        };
        let (_folder, path) = file(signed.as_bytes());
        let callee = clicked(&path, &trusting, 1_000).unwrap();
        assert_eq!(callee.gateway.as_deref(), Some("127.0.0.10"));

        let unsigned = data(Some("127.0.0.10")).to_json();
        let (_folder, path) = file(unsigned.as_bytes());
        let callee = clicked(&path, &trusting, 1_000).unwrap();
        assert_eq!(callee.gateway, None);
        assert_eq!(callee.untrusted_gateway.as_deref(), Some("127.0.0.10"));

        let listing = Configuration {
            trusted_gateways: vec!["127.0.0.10".into()],
            ..Configuration::default()
        };
        let (_folder, path) = file(unsigned.as_bytes());
        let callee = clicked(&path, &listing, 1_000).unwrap();
        assert_eq!(callee.gateway.as_deref(), Some("127.0.0.10"));
    }

    #[test]
    fn changed_expired_oversized_and_binary_data_is_refused() {
        let key = SigningKey::from_pkcs8(&SigningKey::generate_pkcs8().unwrap()).unwrap();
        let trusting = Configuration {
            trusted_keys: vec![key.public_key().to_string()],
            ..Configuration::default()
        };
        let signed = data(Some("127.0.0.10")).sign(&key).to_json();
        let changed = signed.replace("127.0.0.10", "127.0.0.66");
        for (content, now) in [
            (changed.into_bytes(), 1_000),
            (signed.into_bytes(), 2_000),
            (vec![b' '; 5_000], 1_000),
            (vec![0xff, 0x00, 0x13], 1_000),
        ] {
            let (_folder, path) = file(&content);
            assert!(clicked(&path, &trusting, now).is_err());
        }
    }

    #[test]
    fn a_page_cannot_ring_emergency_or_premium_numbers_or_pass_options() {
        let configuration = Configuration::default();
        for argument in [
            "tel:110",
            "tel:119",
            "tel:0990-123-456",
            "--yes",
            "-x",
            "tel:03-3333-1234;ext=1 --yes",
            "tel:$(reboot)",
            "http://example.com/",
        ] {
            assert!(clicked(argument, &configuration, 0).is_err(), "{argument}");
        }
        assert!(typed("119", &configuration).is_err());
        assert!(clicked("tel:+81333331234", &configuration, 0).is_ok());
    }
}
