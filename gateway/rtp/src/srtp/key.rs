//! Suites, master keys and what is derived from them (RFC 3711 §4.3, RFC 7714 §11).
#![forbid(unsafe_code)]

use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128Enc, Aes256Enc};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::error::RtpError;

/// Octets of the longest master key with its salt.
pub const MAXIMUM_KEY_OCTETS: usize = 32 + 12;

/// How a stream is encrypted and authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `AES_CM_128_HMAC_SHA1_80` (RFC 4568 §6.2.1).
    AesCm128HmacSha1_80,
    /// `AES_CM_128_HMAC_SHA1_32` (RFC 4568 §6.2.2): a tag of four octets, of ten in SRTCP.
    AesCm128HmacSha1_32,
    /// `AEAD_AES_128_GCM` (RFC 7714).
    AeadAes128Gcm,
    /// `AEAD_AES_256_GCM` (RFC 7714).
    AeadAes256Gcm,
}

impl Suite {
    /// All suites, the cheapest of those with a full tag first.
    pub const ALL: [Self; 4] = [
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
    ];

    /// Its name in `a=crypto`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Octets of the master key and its salt together.
    pub const fn key_octets(self) -> usize {
        self.cipher_key_octets() + self.salt_octets()
    }

    /// Octets that protection adds to an RTP packet.
    pub const fn rtp_overhead_octets(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 => 10,
            Self::AesCm128HmacSha1_32 => 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Octets that protection adds to an RTCP packet: the tag and the index.
    pub const fn rtcp_overhead_octets(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 10 + 4,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16 + 4,
        }
    }

    /// Octets of the master key without its salt.
    pub const fn cipher_key_octets(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Octets of its salt.
    pub const fn salt_octets(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }
}

/// A master key with its salt, for one suite. Its octets are never printed, and wiped when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    octets: [u8; MAXIMUM_KEY_OCTETS],
}

impl MasterKey {
    /// The key from its octets, key then salt, as `a=crypto` carries them.
    ///
    /// # Errors
    /// [`RtpError::SrtpKeyLength`] unless there are exactly [`Suite::key_octets`].
    pub fn new(suite: Suite, octets: &[u8]) -> Result<Self, RtpError> {
        if octets.len() != suite.key_octets() {
            return Err(RtpError::SrtpKeyLength {
                suite: suite.name(),
                needed_octets: suite.key_octets(),
                present_octets: octets.len(),
            });
        }
        let mut key = Self { suite, octets: [0; MAXIMUM_KEY_OCTETS] };
        key.octets[..octets.len()].copy_from_slice(octets);
        Ok(key)
    }

    /// A key of octets that `fill_random` puts.
    pub fn generate(suite: Suite, mut fill_random: impl FnMut(&mut [u8])) -> Self {
        let mut key = Self { suite, octets: [0; MAXIMUM_KEY_OCTETS] };
        fill_random(&mut key.octets[..suite.key_octets()]);
        key
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, as `a=crypto` carries them.
    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets[..self.suite.key_octets()]
    }

    /// The session keys of RTP or of RTCP.
    pub(super) fn derive(&self, stream: StreamKind) -> SessionKeys {
        let (master, salt) = self.octets().split_at(self.suite.cipher_key_octets());
        // RFC 7714 §11: the shorter salt is filled up with zeros on the right.
        let mut master_salt = Zeroizing::new([0; 16]);
        master_salt[..salt.len()].copy_from_slice(salt);
        let master_salt = u128::from_be_bytes(*master_salt);
        let mut keys = SessionKeys {
            cipher_key: [0; 32],
            cipher_key_octets: master.len(),
            authentication_key: [0; 20],
            salt: [0; 14],
        };
        let (first_label, cipher_key) =
            (stream.first_label(), &mut keys.cipher_key[..master.len()]);
        if let Ok(master) = <&[u8; 32]>::try_from(master) {
            let cipher = Aes256Enc::new(master.into());
            generate(&cipher, master_salt, first_label, cipher_key);
            generate(&cipher, master_salt, first_label + 2, &mut keys.salt[..salt.len()]);
        } else if let Ok(master) = <&[u8; 16]>::try_from(master) {
            let cipher = Aes128Enc::new(master.into());
            generate(&cipher, master_salt, first_label, cipher_key);
            generate(&cipher, master_salt, first_label + 1, &mut keys.authentication_key);
            generate(&cipher, master_salt, first_label + 2, &mut keys.salt[..salt.len()]);
        }
        keys
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl Drop for MasterKey {
    fn drop(&mut self) {
        self.octets.zeroize();
    }
}

impl ZeroizeOnDrop for MasterKey {}

/// Which packets the session keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamKind {
    Rtp,
    Rtcp,
}

impl StreamKind {
    /// RFC 3711 §4.3.1, §4.3.2: cipher key, authentication key and salt have labels in this order.
    const fn first_label(self) -> u8 {
        match self {
            Self::Rtp => 0,
            Self::Rtcp => 3,
        }
    }
}

/// The session keys of RTP or of RTCP.
pub(super) struct SessionKeys {
    cipher_key: [u8; 32],
    cipher_key_octets: usize,
    /// Not used with GCM.
    pub authentication_key: [u8; 20],
    /// Of GCM the first twelve octets.
    pub salt: [u8; 14],
}

impl SessionKeys {
    /// Keys that vectors give.
    #[cfg(test)]
    pub fn for_tests(cipher_key: &[u8], salt: &[u8], authentication_key: &[u8; 20]) -> Self {
        let mut keys = Self {
            cipher_key: [0; 32],
            cipher_key_octets: cipher_key.len(),
            authentication_key: *authentication_key,
            salt: [0; 14],
        };
        keys.cipher_key[..cipher_key.len()].copy_from_slice(cipher_key);
        keys.salt[..salt.len()].copy_from_slice(salt);
        keys
    }

    /// The cipher key, 16 or 32 octets.
    pub fn cipher_key(&self) -> &[u8] {
        &self.cipher_key[..self.cipher_key_octets]
    }
}

impl Drop for SessionKeys {
    fn drop(&mut self) {
        self.cipher_key.zeroize();
        self.authentication_key.zeroize();
        self.salt.zeroize();
    }
}

/// The key derivation function: AES in counter mode (RFC 3711 §4.3.3), a key derivation rate of zero.
/// `out` must be zero.
fn generate<C>(cipher: &C, master_salt: u128, label: u8, out: &mut [u8])
where
    C: BlockCipherEncrypt + aes::cipher::BlockSizeUser<BlockSize = aes::cipher::consts::U16>,
{
    // The label stands left of the 48 bits of the (absent) index, and all of it left of the counter's 16.
    let start = master_salt ^ u128::from(label) << (48 + 16);
    CtrCore::<&C, Ctr128BE>::inner_iv_init(cipher, &start.to_be_bytes().into())
        .apply_keystream_partial(out.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> =
            text.chars().filter_map(|digit| Some(digit.to_digit(16)? as u8)).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn keys_are_derived_as_in_rfc_3711_appendix_b_3() {
        let master = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
        let keys =
            MasterKey::new(Suite::AesCm128HmacSha1_80, &master).unwrap().derive(StreamKind::Rtp);
        assert_eq!(keys.cipher_key(), hex("C61E7A93744F39EE10734AFE3FF7A087"));
        assert_eq!(keys.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
        assert_eq!(keys.authentication_key[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    }

    #[test]
    fn key_of_the_wrong_length_is_refused_by_suite_and_length() {
        let error = MasterKey::new(Suite::AeadAes256Gcm, &[7; 30]).unwrap_err().to_string();
        assert!(error.contains("AEAD_AES_256_GCM") && error.contains("44"), "{error}");
    }

    #[test]
    fn debug_shows_the_suite_and_nothing_of_the_key() {
        let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &[0xab; 30]).unwrap();
        assert_eq!(format!("{key:?}"), "MasterKey { suite: AesCm128HmacSha1_80, .. }");
    }
}
