//! The bytes of a header: how many more it needs, and what it says. The crate `ppp` reads a
//! header that is complete; what is decided before, so that nothing behind the header is read
//! and nothing without an end is awaited, is here. No I/O, and nothing of the crate is used, so
//! that it can be fuzzed by itself.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

/// The longest line of version 1, with its line end (section 2.1 of the specification).
pub const LONGEST_V1: usize = 107;
/// The longest header of version 2. The protocol allows 65,551 bytes; addresses take 232 at
/// most, and a proxy's TLVs are a few hundred, a client certificate's name included.
pub const LONGEST_V2: usize = 16 + 4096;

/// The part of a header of version 2 that comes before its length is known (section 2.2).
const FIXED_V2: usize = 16;
const BEGIN_V2: &[u8] = v2::PROTOCOL_PREFIX;
/// Version 2 with the command LOCAL.
const LOCAL: u8 = 0x20;

const BEGIN_V1: &[u8] = b"PROXY ";
const UNKNOWN_V1: &[u8] = b"PROXY UNKNOWN";
/// Spaces in a line of version 1 that has addresses.
const SPACES_V1: usize = 5;
/// The shortest line of version 1: `PROXY UNKNOWN` with its line end.
const SHORTEST_V1: usize = 15;
const LINE_END: usize = 2;

/// The versions that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// Text.
    V1,
    /// Binary.
    V2,
    /// Either.
    Any,
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many more bytes belong to the header at least, 1 or more.
    Need(usize),
    /// The bytes are one whole header.
    Done(Named),
}

/// Whom a header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// The client that the proxy speaks for. IPv4 that is written as IPv6 is IPv4 here.
    Client(SocketAddr),
    /// The proxy itself, which checks whether the server is there: LOCAL.
    Proxy,
    /// A client without an address that could be used: UNKNOWN in version 1; in version 2 an
    /// unspecified family, a Unix socket, or another protocol than a stream.
    Unknown,
}

/// Why bytes are no header that is taken.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum HeaderError {
    /// It begins otherwise, or with the other version.
    #[error(
        "it does not begin with a PROXY header of a version that listeners.NAME.proxy_protocol \
         allows"
    )]
    NoHeader,
    /// No line end within the longest line of version 1.
    #[error("its PROXY header of version 1 has more than {LONGEST_V1} bytes")]
    LongLine,
    /// Announced by version 2.
    #[error("its PROXY header of version 2 has {0} bytes, and {LONGEST_V2} are taken at most")]
    TooLong(usize),
    /// A line that is not as section 2.1 says.
    #[error("its PROXY header of version 1 cannot be read: {}", one_line(.0))]
    V1(v1::BinaryParseError),
    /// Fields that are not as section 2.2 says.
    #[error("its PROXY header of version 2 cannot be read: {}", one_line(.0))]
    V2(v2::ParseError),
}

/// The crate's text, which names a line end by itself.
fn one_line(error: &impl Display) -> String {
    error.to_string().replace('\r', "\\r").replace('\n', "\\n")
}

/// Looks at all bytes that were read so far. [`Step::Need`] never asks for bytes behind a
/// header that is valid, so a reader that reads no more than that consumes exactly the header.
///
/// # Errors
/// The bytes are not the beginning of a header that is taken.
pub fn step(bytes: &[u8], versions: Versions) -> Result<Step, HeaderError> {
    let may_be = |begin: &[u8]| bytes.iter().zip(begin).all(|(a, b)| a == b);
    if bytes.is_empty() {
        // Version 2 is longer. They differ in the first byte.
        return Ok(Step::Need(SHORTEST_V1));
    }
    if versions != Versions::V1 && may_be(BEGIN_V2) {
        return binary(bytes);
    }
    if versions != Versions::V2 && may_be(BEGIN_V1) {
        return line(bytes);
    }
    Err(HeaderError::NoHeader)
}

fn line(bytes: &[u8]) -> Result<Step, HeaderError> {
    let end = bytes.iter().position(|byte| *byte == b'\r').map(|at| at + LINE_END);
    match end {
        Some(end) if bytes.len() >= end => whole_line(bytes, end),
        _ => {
            let need = missing(bytes);
            if bytes.len() + need > LONGEST_V1 {
                return Err(HeaderError::LongLine);
            }
            Ok(Step::Need(need))
        }
    }
}

fn whole_line(bytes: &[u8], end: usize) -> Result<Step, HeaderError> {
    let is_line = bytes.ends_with(b"\r\n") && bytes.len() == end;
    // Whatever comes behind the word is to be ignored (section 2.1), which the crate does for a
    // limited number of words only.
    if is_line && matches!(bytes.strip_prefix(UNKNOWN_V1), Some([b' ' | b'\r', ..])) {
        return Ok(Step::Done(Named::Unknown));
    }
    let header = v1::Header::try_from(bytes).map_err(HeaderError::V1)?;
    if !is_line {
        // More was read than a header of its kind can be short of, so it lacks fields.
        return Err(HeaderError::V1(v1::ParseError::InvalidSuffix.into()));
    }
    Ok(Step::Done(match header.addresses {
        v1::Addresses::Tcp4(found) => client(found.source_address.into(), found.source_port),
        v1::Addresses::Tcp6(found) => client(found.source_address.into(), found.source_port),
        v1::Addresses::Unknown => Named::Unknown,
    }))
}

/// The fewest bytes that a line lacks which has no line end yet: one for each space and for
/// each field that has not begun, and the line end. A line takes a few reads.
fn missing(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\r") {
        return 1;
    }
    if let Some(short) = SHORTEST_V1.checked_sub(bytes.len()).filter(|short| *short > 0) {
        return short;
    }
    if bytes.starts_with(UNKNOWN_V1) {
        return LINE_END;
    }
    let spaces = bytes.split(|byte| *byte == b' ').skip(1).count();
    let left = SPACES_V1.saturating_sub(spaces);
    left + left + usize::from(bytes.ends_with(b" ")) + LINE_END
}

fn binary(bytes: &[u8]) -> Result<Step, HeaderError> {
    let [.., command, _, high, low] = bytes.get(..FIXED_V2).unwrap_or_default() else {
        return Ok(Step::Need(FIXED_V2 - bytes.len()));
    };
    let length = FIXED_V2 + usize::from(u16::from_be_bytes([*high, *low]));
    if length > LONGEST_V2 {
        return Err(HeaderError::TooLong(length));
    }
    let missing = length.saturating_sub(bytes.len());
    if *command == LOCAL {
        // Addresses and their family are to be ignored (section 2.2).
        return Ok(if missing > 0 { Step::Need(missing) } else { Step::Done(Named::Proxy) });
    }
    let header = match v2::Header::try_from(bytes) {
        Ok(header) => header,
        Err(v2::ParseError::Partial(..)) if missing > 0 => return Ok(Step::Need(missing)),
        Err(error) => return Err(HeaderError::V2(error)),
    };
    // TLVs are skipped: nothing here uses them.
    Ok(Step::Done(match header.addresses {
        _ if header.protocol != v2::Protocol::Stream => Named::Unknown,
        v2::Addresses::IPv4(found) => client(found.source_address.into(), found.source_port),
        v2::Addresses::IPv6(found) => client(found.source_address.into(), found.source_port),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => Named::Unknown,
    }))
}

fn client(address: IpAddr, port: u16) -> Named {
    // An address of all zeros is nobody's, and would be one source for all.
    if address.is_unspecified() {
        return Named::Unknown;
    }
    Named::Client(SocketAddr::new(address.to_canonical(), port))
}
