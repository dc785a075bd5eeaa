//! Reads the header of an HTTP message, within bounds. What it says is not judged here.

use std::io::ErrorKind;

use bytes::{BufMut as _, BytesMut};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_tungstenite::tungstenite::Error as HttpError;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse;

/// The largest header. Browsers send up to 1 KiB without cookies; 8 KiB is what web servers
/// take by default.
const LARGEST_HEAD: usize = 8 * 1024;
/// Most requests need one piece of the buffer.
const PIECE: usize = 1024;

/// Why there is no header.
#[derive(Debug, Error)]
pub enum HeadError {
    /// Not a byte came.
    #[error("the connection closed before anything was received")]
    Silent,
    /// The stream ended or failed within the header.
    #[error("the connection closed within the header of the opening handshake")]
    Cut,
    /// The first byte cannot be HTTP's.
    #[error("no HTTP: the first byte is {0:#04x}")]
    NotHttp(u8),
    /// There is no memory for it.
    #[error("no memory for the header")]
    NoMemory,
    /// It is larger than 8 KiB, or has too many fields.
    #[error("the header is larger than {LARGEST_HEAD} bytes, or has more than 124 fields")]
    TooLarge,
    /// It is malformed, or not of the kind that is asked for.
    #[error(transparent)]
    Http(HttpError),
}

/// Reads a header; returns it and what was received behind it. It takes as long as the peer
/// does: the caller has to limit the time. `hold` is told how many bytes are held, and says
/// whether they may be.
pub async fn read_head<S, H>(
    stream: &mut S,
    mut hold: impl FnMut(usize) -> bool,
) -> Result<(H, BytesMut), HeadError>
where
    S: AsyncRead + Unpin,
    H: TryParse,
{
    let mut bytes = BytesMut::with_capacity(PIECE);
    // Parsed when its end is seen, and each time that it has doubled, to detect early what is
    // no HTTP: a header that comes byte by byte costs no more work than twice its length.
    let mut parse_at = 1;
    loop {
        let before = bytes.len();
        let room = LARGEST_HEAD - before;
        if room == 0 {
            return Err(HeadError::TooLarge);
        }
        bytes.reserve(room.min(PIECE));
        if !hold(bytes.capacity()) {
            return Err(HeadError::NoMemory);
        }
        match stream.read_buf(&mut (&mut bytes).limit(room)).await {
            Ok(read) if read > 0 => {}
            // Of a layer below.
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                return Err(HeadError::NoMemory);
            }
            _ if before == 0 => return Err(HeadError::Silent),
            _ => return Err(HeadError::Cut),
        }
        // Methods and versions begin with capitals. Empty lines before them are allowed to be
        // ignored (RFC 9112, section 2.2), but no client sends them.
        if let Some(first) = bytes.first().filter(|first| !first.is_ascii_uppercase()) {
            return Err(HeadError::NotHttp(*first));
        }
        if bytes.len() < parse_at && !ends_within(&bytes, before) {
            continue;
        }
        parse_at = bytes.len() * 2;
        if let Some((used, head)) = H::try_parse(&bytes).map_err(HeadError::of)? {
            let rest = bytes.split_off(used.min(bytes.len()));
            return Ok((head, rest));
        }
    }
}

impl HeadError {
    fn of(error: HttpError) -> Self {
        match error {
            HttpError::Capacity(_) => Self::TooLarge,
            error => Self::Http(error),
        }
    }
}

/// True if there is an empty line that ends behind the first `before` bytes.
fn ends_within(bytes: &[u8], before: usize) -> bool {
    // The longest one has three bytes before its last.
    let new = bytes.get(before.saturating_sub(3)..).unwrap_or_default();
    new.windows(2).any(|pair| pair == b"\n\n") || new.windows(3).any(|three| three == b"\n\r\n")
}
