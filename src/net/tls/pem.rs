//! Reads PEM files: certificates, keys, revocation lists. What they mean is not looked at.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject as _, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::error::FileProblem;
use crate::config::must_be_regular;

/// The largest file of certificates or of a key. The bundle of all public authorities has
/// about 220 KiB.
pub const CERTIFICATES_LIMIT: u64 = 4 << 20;
/// The largest file of revocation lists. A million entries of 35 to 40 bytes are 50 MiB as
/// base64; those of public authorities have up to a few MiB.
pub const CRL_LIMIT: u64 = 64 << 20;

/// A file in memory.
#[derive(Debug)]
pub struct PemFile {
    bytes: Vec<u8>,
    /// Its permissions let every user read it.
    pub world_readable: bool,
}

impl PemFile {
    pub fn read(path: &Path, limit: u64) -> Result<Self, FileProblem> {
        let (bytes, mode) = read(path, limit).map_err(FileProblem::Read)?;
        if bytes.len() as u64 > limit {
            return Err(FileProblem::TooLarge { limit });
        }
        Ok(Self { bytes, world_readable: mode & 0o004 != 0 })
    }

    /// SHA-256 of the content.
    pub fn digest(&self) -> [u8; 32] {
        let digest = ring::digest::digest(&ring::digest::SHA256, &self.bytes);
        digest.as_ref().try_into().unwrap_or_default()
    }

    /// All certificates, in their order.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, FileProblem> {
        let found = self.sections(|kind, der| {
            (kind == SectionKind::Certificate).then(|| CertificateDer::from(der))
        })?;
        if found.is_empty() { Err(FileProblem::NoCertificate) } else { Ok(found) }
    }

    /// All revocation lists, in their order.
    pub fn crls(&self) -> Result<Vec<CertificateRevocationListDer<'static>>, FileProblem> {
        let found = self.sections(|kind, der| {
            (kind == SectionKind::Crl).then(|| CertificateRevocationListDer::from(der))
        })?;
        if found.is_empty() { Err(FileProblem::NoCrl) } else { Ok(found) }
    }

    /// The first private key.
    pub fn key(&self) -> Result<PrivateKeyDer<'static>, FileProblem> {
        // PKCS#8 (RFC 5958) says so in its label, the older ones in a header (RFC 1421, 4.6.1.1).
        let encrypted = ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"];
        if encrypted.iter().any(|mark| self.contains(mark.as_bytes())) {
            return Err(FileProblem::EncryptedKey);
        }
        let keys = self.sections(PrivateKeyDer::from_pem)?;
        keys.into_iter().next().ok_or(FileProblem::NoKey)
    }

    fn contains(&self, text: &[u8]) -> bool {
        self.bytes.windows(text.len()).any(|window| window == text)
    }

    /// What `convert` makes of all sections of known kinds. Text around them is a comment
    /// (RFC 7468, 2).
    fn sections<T>(
        &self,
        convert: impl Fn(SectionKind, Vec<u8>) -> Option<T>,
    ) -> Result<Vec<T>, FileProblem> {
        let mut found = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&self.bytes) {
            let (kind, der) = section.map_err(problem)?;
            found.extend(convert(kind, der));
        }
        Ok(found)
    }
}

/// Reads at most one byte more than the limit, with the permissions of what was read.
fn read(path: &Path, limit: u64) -> io::Result<(Vec<u8>, u32)> {
    must_be_regular(path)?;
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes, mode))
}

/// No variant may show what is in a section, since it may be a key.
fn problem(error: pem::Error) -> FileProblem {
    match error {
        pem::Error::MissingSectionEnd { .. } => FileProblem::Truncated,
        pem::Error::IllegalSectionStart { .. } => {
            FileProblem::Damaged("a line -----BEGIN has no end".to_owned())
        }
        pem::Error::Base64Decode(_) => FileProblem::Damaged("a section is not base64".to_owned()),
        pem::Error::Io(error) => FileProblem::Read(error),
        _ => FileProblem::Damaged("a section is too large".to_owned()),
    }
}
