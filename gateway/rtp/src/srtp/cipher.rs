//! One direction's cipher for RTP or for RTCP: encryption in place and the tag behind it.
//!
//! AES in counter mode and HMAC-SHA1 are RustCrypto's, which uses the processor's AES and SHA
//! instructions; GCM is ring's. Key schedules and the HMAC's two inner states are made once. (An HMAC of our
//! own over the bare compression function saved an eighth of a packet's cost: too little to own one.)
#![forbid(unsafe_code)]

use aes::Aes128Enc;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipherCore};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};
use sha1::Sha1;
use zeroize::Zeroize;

use super::key::{MasterKey, SessionKeys, StreamKind, Suite};
use crate::error::RtpError;

/// Octets of an RTCP packet that stay readable: its first header and SSRC (RFC 3711 §3.4).
pub(super) const RTCP_HEADER_OCTETS: usize = 8;
/// The E flag in the word with the SRTCP index.
const ENCRYPTED_FLAG: u32 = 1 << 31;
const INDEX_WORD_OCTETS: usize = 4;
const GCM_TAG_OCTETS: usize = 16;

/// The cipher of one direction, for RTP or for RTCP.
#[expect(
    clippy::large_enum_variant,
    reason = "read with every packet: kept where the leg's state lies"
)]
pub(super) enum Cipher {
    CounterMode(CounterMode),
    Gcm(Gcm),
}

impl Cipher {
    pub fn new(master: &MasterKey, stream: StreamKind) -> Result<Self, RtpError> {
        Self::from_session_keys(master.suite(), stream, &master.derive(stream))
    }

    fn from_session_keys(
        suite: Suite,
        stream: StreamKind,
        keys: &SessionKeys,
    ) -> Result<Self, RtpError> {
        let tag_octets = match stream {
            StreamKind::Rtp => suite.rtp_overhead_octets(),
            StreamKind::Rtcp => suite.rtcp_overhead_octets() - INDEX_WORD_OCTETS,
        };
        let unusable = || RtpError::SrtpKeyLength {
            suite: suite.name(),
            needed_octets: suite.key_octets(),
            present_octets: keys.cipher_key().len(),
        };
        let gcm = |algorithm| {
            let key = UnboundKey::new(algorithm, keys.cipher_key()).map_err(|_| unusable())?;
            let mut salt = [0; 16];
            salt[4..].copy_from_slice(&keys.salt[..12]);
            let salt = u128::from_be_bytes(salt);
            Ok(Self::Gcm(Gcm { key: LessSafeKey::new(key), salt }))
        };
        match suite {
            Suite::AeadAes128Gcm => gcm(&AES_128_GCM),
            Suite::AeadAes256Gcm => gcm(&AES_256_GCM),
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                let mut salt = [0; 16];
                salt[..14].copy_from_slice(&keys.salt);
                Ok(Self::CounterMode(CounterMode {
                    cipher: Aes128Enc::new_from_slice(keys.cipher_key()).map_err(|_| unusable())?,
                    salt: u128::from_be_bytes(salt),
                    authentication: Hmac::new_from_slice(&keys.authentication_key)
                        .map_err(|_| unusable())?,
                    tag_octets,
                }))
            }
        }
    }

    /// Protects the RTP packet in the first `packet_octets` of `buffer`, which has room for the tag;
    /// gives the octets with it, or nothing if the packet is too long for the cipher.
    #[inline]
    pub fn seal_rtp(
        &self,
        buffer: &mut [u8],
        header_octets: usize,
        packet_octets: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        match self {
            Self::CounterMode(mode) => {
                mode.apply(&mut buffer[header_octets..packet_octets], ssrc, index);
                // RFC 3711 §4.2: the roll-over counter is authenticated, not sent.
                let tag = mode.authenticate(&buffer[..packet_octets], &roll_over_counter(index));
                Some(mode.append_tag(tag, buffer, packet_octets))
            }
            Self::Gcm(gcm) => {
                let (header, rest) = buffer.split_at_mut(header_octets);
                let (payload, rest) = rest.split_at_mut(packet_octets - header_octets);
                let tag = gcm.seal(ssrc, index, header, payload)?;
                rest[..GCM_TAG_OCTETS].copy_from_slice(tag.as_ref());
                Some(packet_octets + GCM_TAG_OCTETS)
            }
        }
    }

    /// Checks the tag of an SRTP packet, which is long enough for it, and decrypts in place; gives the
    /// octets without the tag, or nothing if the tag is wrong.
    #[inline]
    pub fn open_rtp(
        &self,
        packet: &mut [u8],
        header_octets: usize,
        ssrc: u32,
        index: u64,
    ) -> Option<usize> {
        match self {
            Self::CounterMode(mode) => {
                let (body, tag) = packet.split_at_mut(packet.len() - mode.tag_octets);
                mode.verify(body, &roll_over_counter(index), tag)?;
                mode.apply(&mut body[header_octets..], ssrc, index);
                Some(body.len())
            }
            Self::Gcm(gcm) => {
                let octets = packet.len() - GCM_TAG_OCTETS;
                let (header, sealed) = packet.split_at_mut(header_octets);
                let (payload, tag) = sealed.split_at_mut(octets - header_octets);
                gcm.open(ssrc, index, header, payload, tag)?;
                Some(octets)
            }
        }
    }

    /// As [`Self::seal_rtp`] for a compound RTCP packet, which is always encrypted; there must be room
    /// for tag and index.
    pub fn seal_rtcp(
        &self,
        buffer: &mut [u8],
        packet_octets: usize,
        ssrc: u32,
        index: u32,
    ) -> Option<usize> {
        let word = (index | ENCRYPTED_FLAG).to_be_bytes();
        match self {
            // RFC 3711 §3.4: payload, index, tag.
            Self::CounterMode(mode) => {
                mode.apply(&mut buffer[RTCP_HEADER_OCTETS..packet_octets], ssrc, u64::from(index));
                let with_index = packet_octets + INDEX_WORD_OCTETS;
                buffer[packet_octets..with_index].copy_from_slice(&word);
                let tag = mode.authenticate(&buffer[..with_index], &[]);
                Some(mode.append_tag(tag, buffer, with_index))
            }
            // RFC 7714 §9.2: payload, tag, index; header and index are the associated data.
            Self::Gcm(gcm) => {
                let (header, rest) = buffer.split_at_mut(RTCP_HEADER_OCTETS);
                let (payload, rest) = rest.split_at_mut(packet_octets - RTCP_HEADER_OCTETS);
                let associated = associated_data(header, word);
                let tag = gcm.seal(ssrc, u64::from(index), &associated, payload)?;
                rest[..GCM_TAG_OCTETS].copy_from_slice(tag.as_ref());
                rest[GCM_TAG_OCTETS..][..INDEX_WORD_OCTETS].copy_from_slice(&word);
                Some(packet_octets + GCM_TAG_OCTETS + INDEX_WORD_OCTETS)
            }
        }
    }

    /// The SRTCP index of a packet that is long enough for it.
    pub fn rtcp_index(&self, packet: &[u8]) -> u32 {
        self.index_word(packet) & !ENCRYPTED_FLAG
    }

    /// As [`Self::open_rtp`] for an SRTCP packet; one whose E flag says so is only checked.
    pub fn open_rtcp(&self, packet: &mut [u8], ssrc: u32) -> Option<usize> {
        let word = self.index_word(packet);
        let is_encrypted = word & ENCRYPTED_FLAG != 0;
        let index = u64::from(word & !ENCRYPTED_FLAG);
        match self {
            Self::CounterMode(mode) => {
                let (body, tag) = packet.split_at_mut(packet.len() - mode.tag_octets);
                mode.verify(body, &[], tag)?;
                let octets = body.len() - INDEX_WORD_OCTETS;
                if is_encrypted {
                    mode.apply(&mut body[RTCP_HEADER_OCTETS..octets], ssrc, index);
                }
                Some(octets)
            }
            Self::Gcm(gcm) => {
                let octets = packet.len() - INDEX_WORD_OCTETS - GCM_TAG_OCTETS;
                if is_encrypted {
                    let (header, rest) = packet.split_at_mut(RTCP_HEADER_OCTETS);
                    let (payload, rest) = rest.split_at_mut(octets - RTCP_HEADER_OCTETS);
                    let associated = associated_data(header, word.to_be_bytes());
                    gcm.open(ssrc, index, &associated, payload, &rest[..GCM_TAG_OCTETS])?;
                } else {
                    // RFC 7714 §9.3: the whole packet and the index are associated data, which ring takes
                    // in one piece: the index moves to where the tag was.
                    let mut tag = [0; GCM_TAG_OCTETS];
                    tag.copy_from_slice(&packet[octets..octets + GCM_TAG_OCTETS]);
                    let with_index = octets + INDEX_WORD_OCTETS;
                    packet[octets..with_index].copy_from_slice(&word.to_be_bytes());
                    gcm.open(ssrc, index, &packet[..with_index], &mut [], &tag)?;
                }
                Some(octets)
            }
        }
    }

    fn index_word(&self, packet: &[u8]) -> u32 {
        let behind = match self {
            Self::CounterMode(mode) => mode.tag_octets,
            Self::Gcm(_) => 0,
        };
        let before = packet.len().saturating_sub(behind);
        packet[..before].last_chunk().map_or(0, |word| u32::from_be_bytes(*word))
    }
}

/// AES in counter mode and HMAC-SHA1 (RFC 3711 §4.1.1, §4.2.1).
pub(super) struct CounterMode {
    cipher: Aes128Enc,
    /// The session salt times 2^16.
    salt: u128,
    authentication: Hmac<Sha1>,
    tag_octets: usize,
}

type Sha1Tag = [u8; 20];

impl CounterMode {
    #[inline]
    fn apply(&self, octets: &mut [u8], ssrc: u32, index: u64) {
        // RFC 3711 §4.1.1
        let start = self.salt ^ u128::from(ssrc) << 64 ^ u128::from(index) << 16;
        CtrCore::<&Aes128Enc, Ctr128BE>::inner_iv_init(&self.cipher, &start.to_be_bytes().into())
            .apply_keystream_partial(octets.into());
    }

    #[inline]
    fn authenticate(&self, octets: &[u8], trailer: &[u8]) -> Sha1Tag {
        let mut authentication = self.authentication.clone();
        authentication.update(octets);
        authentication.update(trailer);
        authentication.finalize().into_bytes().into()
    }

    #[inline]
    fn append_tag(&self, tag: Sha1Tag, buffer: &mut [u8], at: usize) -> usize {
        let end = at + self.tag_octets;
        buffer[at..end].copy_from_slice(&tag[..self.tag_octets]);
        end
    }

    /// In constant time.
    #[inline]
    fn verify(&self, octets: &[u8], trailer: &[u8], tag: &[u8]) -> Option<()> {
        let mut authentication = self.authentication.clone();
        authentication.update(octets);
        authentication.update(trailer);
        authentication.verify_truncated_left(tag).ok()
    }
}

impl Drop for CounterMode {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

/// AES in Galois counter mode (RFC 7714).
pub(super) struct Gcm {
    key: LessSafeKey,
    /// The session salt.
    salt: u128,
}

impl Gcm {
    #[inline]
    fn seal(&self, ssrc: u32, index: u64, associated: &[u8], payload: &mut [u8]) -> Option<Tag> {
        let nonce = self.nonce(ssrc, index);
        self.key.seal_in_place_separate_tag(nonce, Aad::from(associated), payload).ok()
    }

    #[inline]
    fn open(
        &self,
        ssrc: u32,
        index: u64,
        associated: &[u8],
        payload: &mut [u8],
        tag: &[u8],
    ) -> Option<()> {
        let nonce = self.nonce(ssrc, index);
        let tag = Tag::try_from(tag).ok()?;
        let opened =
            self.key.open_in_place_separate_tag(nonce, Aad::from(associated), tag, payload, 0..);
        opened.ok().map(|_| ())
    }

    /// RFC 7714 §8.1 for RTP, where the index is roll-over counter and sequence number, and §9.1.
    #[inline]
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let value = self.salt ^ u128::from(ssrc) << 48 ^ u128::from(index);
        let mut octets = [0; 12];
        octets.copy_from_slice(&value.to_be_bytes()[4..]);
        Nonce::assume_unique_for_key(octets)
    }
}

impl Drop for Gcm {
    fn drop(&mut self) {
        self.salt.zeroize();
    }
}

fn roll_over_counter(index: u64) -> [u8; 4] {
    ((index >> 16) as u32).to_be_bytes()
}

fn associated_data(
    header: &[u8],
    word: [u8; INDEX_WORD_OCTETS],
) -> [u8; RTCP_HEADER_OCTETS + INDEX_WORD_OCTETS] {
    let mut associated = [0; RTCP_HEADER_OCTETS + INDEX_WORD_OCTETS];
    associated[..RTCP_HEADER_OCTETS].copy_from_slice(header);
    associated[RTCP_HEADER_OCTETS..].copy_from_slice(&word);
    associated
}

#[cfg(test)]
mod tests;
