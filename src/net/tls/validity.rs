//! Times of certificates and revocation lists, and what an operator should know about files
//! that can be used.

use std::path::PathBuf;

use rustls::pki_types::UnixTime;
use x509_parser::time::ASN1Time;

use crate::config::ExpiredCrl;

/// Something that is valid until a time.
#[derive(Debug, Clone)]
pub struct Dated {
    /// The subject of a certificate, or the issuer of a revocation list.
    pub name: String,
    /// When it ends, in seconds since 1970.
    pub until: i64,
}

/// What was found in files that can be used.
#[derive(Debug)]
pub struct Findings {
    pub own: Dated,
    /// When the own certificate begins to be valid, in seconds since 1970.
    pub own_from: i64,
    /// A key that every user may read.
    pub exposed_key: Option<PathBuf>,
    pub authorities: Vec<Dated>,
    pub crls: Vec<Dated>,
    /// Authorities of which there is no revocation list, while there are others.
    pub without_crl: Vec<String>,
    pub expired_crl: ExpiredCrl,
    /// Keys that are set and have no effect.
    pub unused: Vec<&'static str>,
}

impl Findings {
    /// When the first revocation list has to be replaced, in seconds since 1970.
    pub fn crl_next_update(&self) -> Option<i64> {
        self.crls.iter().map(|crl| crl.until).min()
    }

    /// One line for each thing to look at.
    pub fn warnings(&self, now: i64) -> Vec<String> {
        let mut lines = Vec::new();
        if self.own.until < now {
            lines.push(format!(
                "certificate_file: the certificate of {} expired on {}, so clients that check it \
                 refuse the connection: renew it",
                self.own.name,
                text(self.own.until)
            ));
        } else if self.own_from > now {
            lines.push(format!(
                "certificate_file: the certificate of {} is not valid before {}: check the clock, \
                 or use another certificate until then",
                self.own.name,
                text(self.own_from)
            ));
        }
        if let Some(path) = &self.exposed_key {
            lines.push(format!(
                "key_file: every user may read {}: take the permission away (chmod o-rwx)",
                path.display()
            ));
        }
        for authority in self.authorities.iter().filter(|authority| authority.until < now) {
            lines.push(format!(
                "client_ca_file: the authority {} expired on {}, and its clients are still let \
                 in: remove it if they should not be",
                authority.name,
                text(authority.until)
            ));
        }
        for crl in self.crls.iter().filter(|crl| crl.until < now) {
            let effect = match self.expired_crl {
                ExpiredCrl::Refuse => "clients of this issuer are refused",
                ExpiredCrl::Warn => "it is still used (expired_crl = \"warn\")",
            };
            lines.push(format!(
                "crl_file: the revocation list of {} was due for its next update on {}, and \
                 {effect}: fetch a newer one",
                crl.name,
                text(crl.until)
            ));
        }
        for authority in &self.without_crl {
            lines.push(format!(
                "crl_file: it has no revocation list of {authority}, so clients that this \
                 authority issued certificates for are refused: add its list"
            ));
        }
        for key in &self.unused {
            lines.push(format!("{key} has no effect, because client_auth is \"off\""));
        }
        lines
    }
}

/// The time now, in seconds since 1970.
pub fn now() -> i64 {
    i64::try_from(UnixTime::now().as_secs()).unwrap_or(i64::MAX)
}

/// Readable, in UTC.
pub fn text(seconds: i64) -> String {
    ASN1Time::from_timestamp(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
