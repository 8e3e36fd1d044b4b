//! When the certificates of servers run out, as they were shown in the last handshake with each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::civil::DateTime;
use jiff::tz::Offset;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};

/// How many servers are remembered; a configuration names fewer.
const MOST: usize = 256;

/// When certificates run out, by the names of their servers. Clones share what is known.
#[derive(Debug, Clone, Default)]
pub struct Expiries(Arc<Mutex<BTreeMap<String, i64>>>);

impl Expiries {
    /// Returns when the certificate runs out that a server has shown last, in seconds since 1970.
    pub fn of(&self, server: &str) -> Option<i64> {
        let known = self.0.lock().expect("no holder of this lock panics");
        known.get(&server.trim_end_matches('.').to_ascii_lowercase()).copied()
    }

    fn note(&self, server: &ServerName<'_>, certificate: &[u8]) {
        let Some(expiry) = expiry(certificate) else { return };
        let name = server.to_str().trim_end_matches('.').to_ascii_lowercase();
        let mut known = self.0.lock().expect("no holder of this lock panics");
        if known.len() < MOST || known.contains_key(&name) {
            known.insert(name, expiry);
        }
    }
}

/// Believes whom the inner one believes, and notes when their certificates run out.
#[derive(Debug)]
pub(super) struct Noting {
    pub(super) inner: Arc<WebPkiServerVerifier>,
    pub(super) expiries: Expiries,
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)?;
        // Of nobody else, so that a stranger on the way cannot say when it is.
        self.expiries.note(server_name, end_entity);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Tags of DER (X.690): what is read here, and what is passed over.
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xA0;

/// Reads `notAfter` of a certificate (RFC 5280, section 4.1.2.5), in seconds since 1970.
pub(super) fn expiry(certificate: &[u8]) -> Option<i64> {
    let (SEQUENCE, certificate, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut signed, _) = element(certificate)? else { return None };
    if let (VERSION, _, rest) = element(signed)? {
        signed = rest;
    }
    // The serial number, the algorithm and the issuer stand before the validity.
    for _ in 0..3 {
        signed = element(signed)?.2;
    }
    let (SEQUENCE, validity, _) = element(signed)? else { return None };
    let (tag, not_after, _) = element(element(validity)?.2)?;
    instant(tag, not_after)
}

/// Splits the first element off: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7F => (usize::from(first), rest),
        0x81..=0x83 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x0F))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn instant(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    let (year, rest) = match (tag, digits.len()) {
        (UTC_TIME, 12) => {
            let year = number(&digits[..2])?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &digits[2..])
        }
        (GENERALIZED_TIME, 14) => (number(&digits[..4])?, &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| i8::try_from(number(&rest[at..at + 2])?).ok();
    let civil = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    Some(Offset::UTC.to_timestamp(civil).ok()?.as_second())
}

fn number(digits: &[u8]) -> Option<i16> {
    let text = std::str::from_utf8(digits).ok()?;
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut parameters = rcgen::CertificateParams::new(vec!["dns.example".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(year, 3, 9);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_spellings() {
        for (year, end) in [(2031, "2031-03-09T00:00:00Z"), (2055, "2055-03-09T00:00:00Z")] {
            let end: jiff::Timestamp = end.parse().unwrap();
            assert_eq!(expiry(&certificate(year)), Some(end.as_second()), "{year}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = certificate(2031);
        for length in 0..120 {
            assert_eq!(expiry(&whole[..length]), None, "cut off after {length} octets");
        }
        // Every octet changed once: nothing panics.
        for at in 0..whole.len() {
            for other in [0, 0x7F, 0x80, 0x84, 0xFF] {
                let mut changed = whole.clone();
                changed[at] = other;
                let _ = expiry(&changed);
            }
        }
        assert_eq!(instant(UTC_TIME, b"310230000000Z"), None, "no such day");
        assert_eq!(instant(UTC_TIME, b"31+309000000Z"), None);
        assert_eq!(instant(GENERALIZED_TIME, b"20310309000000"), None);
    }

    #[test]
    fn only_so_many_servers_are_remembered() {
        let (expiries, octets) = (Expiries::default(), certificate(2031));
        for number in 0..2 * MOST {
            let name = ServerName::try_from(format!("h{number}.example")).unwrap();
            expiries.note(&name, &octets);
        }
        assert_eq!(expiries.0.lock().unwrap().len(), MOST);
        assert!(expiries.of("H0.example.").is_some() && expiries.of("h400.example").is_none());
    }
}
