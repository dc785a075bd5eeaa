//! The client's messages (RFC 5802, section 7), and why they are refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::keys::KEY;

/// The longest message in bytes: a user name of 1,024 bytes, each of them escaped (`=2C`), with
/// room for a nonce and extensions.
const LONGEST: usize = 4_096;
/// The longest nonce of a client in bytes. RFC 7677's example has 20; each is sent back.
const LONGEST_NONCE: usize = 256;

/// Why an exchange ends without success. For logs; the client is told "not authorized" (0x87)
/// in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The message is no SCRAM message, or too long.
    #[error("the SCRAM message is malformed: {0}")]
    Malformed(&'static str),
    /// The client insists on channel binding.
    #[error("the client requires channel binding, which is not supported")]
    ChannelBinding,
    /// The client wants to act as another user than the one that it authenticates as.
    #[error("the authorization identity differs from the user name")]
    Authzid,
    /// The message belongs to another exchange.
    #[error("the nonce or the channel binding differs from that of the first message")]
    OtherExchange,
    /// The user does not exist, or the password is wrong.
    #[error("unknown user or wrong password")]
    Credentials,
}

/// The client-first-message.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    pub gs2_header: &'a str,
    /// All after it.
    pub bare: &'a str,
    pub username: String,
    pub nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub fn parse(message: &'a [u8]) -> Result<Self, Refusal> {
        let text = text(message)?;
        let (binding, rest) = text.split_once(',').ok_or(Refusal::Malformed("no GS2 header"))?;
        match binding {
            // `y`: the client could, and knows that the server cannot.
            "n" | "y" => {}
            _ if binding.starts_with("p=") => return Err(Refusal::ChannelBinding),
            _ => return Err(Refusal::Malformed("the GS2 header is none of n, y and p")),
        }
        let (authzid, bare) = rest.split_once(',').ok_or(Refusal::Malformed("no GS2 header"))?;
        let gs2_header = text.strip_suffix(bare).unwrap_or_default();
        let mut attributes = bare.split(',');
        let username = name(attribute(attributes.next(), "n=", "no user name")?)?;
        let nonce = attribute(attributes.next(), "r=", "no nonce after the user name")?;
        let printable = |byte: u8| byte.is_ascii_graphic();
        if nonce.is_empty() || nonce.len() > LONGEST_NONCE || !nonce.bytes().all(printable) {
            return Err(Refusal::Malformed("the nonce is empty, too long or not printable"));
        }
        attributes.try_for_each(extension)?;
        if !authzid.is_empty() && name(attribute(Some(authzid), "a=", "GS2 header")?)? != username {
            return Err(Refusal::Authzid);
        }
        Ok(Self { gs2_header, bare, username, nonce })
    }
}

/// The client-final-message.
#[derive(Debug)]
pub(super) struct ClientFinal<'a> {
    pub without_proof: &'a str,
    /// In base 64.
    pub channel_binding: &'a str,
    pub nonce: &'a str,
    pub proof: [u8; KEY],
}

impl<'a> ClientFinal<'a> {
    pub fn parse(message: &'a [u8]) -> Result<Self, Refusal> {
        // The proof is last, and base 64 has no comma.
        let (without_proof, proof) =
            text(message)?.rsplit_once(",p=").ok_or(Refusal::Malformed("no proof"))?;
        let mut attributes = without_proof.split(',');
        let channel_binding = attribute(attributes.next(), "c=", "no channel binding")?;
        let nonce = attribute(attributes.next(), "r=", "no nonce after the channel binding")?;
        attributes.try_for_each(extension)?;
        let proof: Option<[u8; KEY]> =
            STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok());
        let proof = proof.ok_or(Refusal::Malformed("the proof is not base 64 of 32 bytes"))?;
        Ok(Self { without_proof, channel_binding, nonce, proof })
    }
}

fn text(message: &[u8]) -> Result<&str, Refusal> {
    if message.len() > LONGEST {
        return Err(Refusal::Malformed("longer than 4,096 bytes"));
    }
    std::str::from_utf8(message).map_err(|_| Refusal::Malformed("not UTF-8"))
}

/// The value of an attribute that has to be here. A mandatory extension (`m=`) would be here
/// instead; none is known (section 5.1), so it is refused with the same line.
fn attribute<'a>(
    found: Option<&'a str>,
    name: &str,
    problem: &'static str,
) -> Result<&'a str, Refusal> {
    found.and_then(|it| it.strip_prefix(name)).ok_or(Refusal::Malformed(problem))
}

/// Optional extensions are ignored, if they are attributes.
fn extension(found: &str) -> Result<(), Refusal> {
    match found.as_bytes() {
        [b'A'..=b'Z' | b'a'..=b'z', b'=', _, ..] => Ok(()),
        _ => Err(Refusal::Malformed("an extension is no attribute")),
    }
}

/// A `saslname`: `=2C` is a comma and `=3D` an equals sign.
fn name(escaped: &str) -> Result<String, Refusal> {
    let mut parts = escaped.split('=');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (sign, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Refusal::Malformed("the user name has an = that escapes nothing")),
        };
        name.push(sign);
        name.push_str(rest);
    }
    if name.is_empty() || name.contains(char::is_control) {
        return Err(Refusal::Malformed("the user name is empty or has a control character"));
    }
    Ok(name)
}
