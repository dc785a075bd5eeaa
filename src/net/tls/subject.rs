//! Names in certificates as text: RFC 4514, in the form that `openssl x509 -subject -nameopt
//! RFC2253` prints, so that what operators copy from there is what the broker compares with.
//!
//! Where RFC 4514 leaves a choice, this is openssl's: bytes above ASCII as `\C3\A9`, types
//! without a name as `1.2.3=#0C01...`, and within a relative name the last value first.

use std::fmt::Write as _;

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Names of attribute types, as openssl writes them.
const TYPES: [(&str, &str); 28] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.15", "businessCategory"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.20", "telephoneNumber"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.44", "generationQualifier"),
    ("2.5.4.45", "x500UniqueIdentifier"),
    ("2.5.4.46", "dnQualifier"),
    ("2.5.4.65", "pseudonym"),
    ("2.5.4.97", "organizationIdentifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("1.2.840.113549.1.9.2", "unstructuredName"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("1.3.6.1.4.1.311.60.2.1.2", "jurisdictionST"),
    ("1.3.6.1.4.1.311.60.2.1.3", "jurisdictionC"),
];

/// The whole name, the most specific part first.
pub fn rfc2253(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for part in parts.into_iter().rev() {
        let values: Vec<_> = part.iter().collect();
        for (index, value) in values.into_iter().rev().enumerate() {
            if !text.is_empty() {
                text.push(if index == 0 { ',' } else { '+' });
            }
            attribute(value, &mut text);
        }
    }
    text
}

/// The first common name in the order of the encoding, which is the one that Mosquitto takes.
/// None if it has a NUL, at which other programs would cut it (CVE-2009-2408).
pub fn common_name(name: &X509Name<'_>) -> Option<Box<str>> {
    let text = decode(name.iter_common_name().next()?)?;
    (!text.is_empty() && !text.contains('\0')).then(|| text.into())
}

fn attribute(value: &AttributeTypeAndValue<'_>, text: &mut String) {
    let oid = value.attr_type().to_id_string();
    if let Some((_, name)) = TYPES.iter().find(|(known, _)| *known == oid)
        && let Some(decoded) = decode(value)
    {
        let _ = write!(text, "{name}=");
        escape(&decoded, text);
        return;
    }
    let name = TYPES.iter().find(|(known, _)| *known == oid).map_or(oid.as_str(), |known| known.1);
    let _ = write!(text, "{name}=#");
    for byte in encode(value) {
        let _ = write!(text, "{byte:02X}");
    }
}

/// The text of a value, if its type is one of text.
fn decode(value: &AttributeTypeAndValue<'_>) -> Option<String> {
    let bytes = value.as_slice();
    // Universal tags of X.680, 8.6.
    match value.attr_value().tag().0 {
        12 => std::str::from_utf8(bytes).ok().map(ToOwned::to_owned),
        // Numeric, Printable, Teletex, IA5 and Visible: a byte is a character; those of Teletex
        // are taken for Latin-1, as everywhere.
        18 | 19 | 20 | 22 | 26 => Some(bytes.iter().copied().map(char::from).collect()),
        // Universal: UTF-32.
        28 => {
            let (units, []) = bytes.as_chunks::<4>() else { return None };
            units.iter().map(|unit| char::from_u32(u32::from_be_bytes(*unit))).collect()
        }
        // BMP: UTF-16.
        30 => {
            let (units, []) = bytes.as_chunks::<2>() else { return None };
            let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

/// RFC 4514, 2.4.
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => {
                text.push('\\');
                text.push(c);
            }
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            '#' if index == 0 => text.push_str("\\#"),
            ' '..='~' => text.push(c),
            _ => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
        }
    }
}

/// The DER encoding of a value.
fn encode(value: &AttributeTypeAndValue<'_>) -> Vec<u8> {
    let any = value.attr_value();
    let bytes = value.as_slice();
    // The class and the bit for constructed, then the tag; text has no tags above 30.
    let constructed = u8::from(any.header.is_constructed()) << 5;
    let tag = u8::try_from(any.tag().0).unwrap_or(0x1F) & 0x1F;
    let mut der = vec![(any.header.class() as u8) << 6 | constructed | tag];
    match u8::try_from(bytes.len()) {
        Ok(length) if length < 0x80 => der.push(length),
        _ => {
            let length: Vec<u8> =
                bytes.len().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            der.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
            der.extend(length);
        }
    }
    der.extend(bytes);
    der
}
