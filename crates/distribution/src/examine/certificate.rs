//! What stands in a certificate, in words.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;
use time::macros::format_description;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// How many of its names are told.
const SHOWN_NAMES: usize = 5;
/// How soon the end of a certificate is worth a word: those that are renewed by programs are, some time before.
pub(super) const SOON: Duration = Duration::from_secs(14 * 86_400);

/// A certificate that was read.
pub(super) struct Certificate {
    /// Whom it is for: names and addresses.
    names: Vec<String>,
    subject: String,
    issuer: String,
    until: SystemTime,
    since: SystemTime,
}

impl Certificate {
    /// Reads one; `None` when it cannot be read.
    pub(super) fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let certificate = x509_cert::Certificate::from_der(der).ok()?;
        let parts = certificate.tbs_certificate();
        let extension = parts.get_extension::<SubjectAltName>().ok().flatten();
        let names = extension.map(|(_, names)| names.0.iter().filter_map(name).collect()).unwrap_or_default();
        Some(Self {
            names,
            subject: line(&parts.subject().to_string()),
            issuer: line(&parts.issuer().to_string()),
            until: SystemTime::UNIX_EPOCH + parts.validity().not_after.to_unix_duration(),
            since: SystemTime::UNIX_EPOCH + parts.validity().not_before.to_unix_duration(),
        })
    }

    /// `for a.example, b.example, by CN=R3,O=Let's Encrypt, until 2027-01-02`
    pub(super) fn text(&self) -> String {
        let mut names = self.names.iter().take(SHOWN_NAMES).cloned().collect::<Vec<_>>().join(", ");
        if self.names.len() > SHOWN_NAMES {
            names.push_str(&format!(" and {} more", self.names.len() - SHOWN_NAMES));
        }
        if names.is_empty() {
            names = format!("no host ({})", self.subject);
        }
        let by = if self.is_its_own() { "itself".to_owned() } else { self.issuer.clone() };
        format!("for {names}, signed by {by}, from {} to {}", day(self.since), day(self.until))
    }

    /// Whether it is signed by whom it is for.
    pub(super) fn is_its_own(&self) -> bool {
        self.subject == self.issuer
    }

    /// How long it is good for still.
    pub(super) fn left(&self, now: SystemTime) -> Duration {
        self.until.duration_since(now).unwrap_or_default()
    }

    /// Who has signed it.
    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }
}

fn line(text: &str) -> String {
    base::text::line(text).into_owned()
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(line(name.as_str())),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref long => {
                <[u8; 16]>::try_from(long).ok().map(|long| std::net::Ipv6Addr::from(long).to_string())
            }
        },
        _ => None,
    }
}

fn day(time: SystemTime) -> String {
    let format = format_description!("[year]-[month]-[day]");
    OffsetDateTime::from(time).format(format).unwrap_or_else(|_| "a day that is none".to_owned())
}
