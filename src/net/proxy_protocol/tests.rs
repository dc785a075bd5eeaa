//! Headers as proxies send them, in pieces, and what is behind them.

use std::path::Path;

use proptest::prelude::*;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

const FROM_TRUSTED: ([u8; 4], u16) = ([10, 1, 2, 3], 4000);
const BEHIND: &[u8] = b"\x10\x0c\0\x04MQTT\x04\x02\0\x3c\0\0";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn proxies(versions: Versions) -> Proxies {
    let trusted = ["10.0.0.0/8", "2001:db8::/32"].map(|network| network.parse().unwrap());
    Proxies { versions, trusted: trusted.into() }
}

fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, content].concat()
}

fn inet(content: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[&[192, 0, 2, 7, 10, 0, 0, 1, 0x9C, 0x40, 0x07, 0x5B], content].concat())
}

fn inet6() -> Vec<u8> {
    let address: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
    v2(0x21, 0x21, &[&address.octets()[..], &[0; 16], &[0x9C, 0x40, 0x07, 0x5B]].concat())
}

/// ALPN, and what a proxy tells of its own TLS session.
const TLVS: &[u8] = &[1, 0, 4, b'm', b'q', b't', b't', 0x20, 0, 5, 1, 0, 0, 0, 0];

/// Each valid header, and the client that it names.
fn valid() -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let line = |text: &str| [text.as_bytes(), b"\r\n"].concat();
    let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    vec![
        ("v1-tcp4", line("PROXY TCP4 192.0.2.7 10.0.0.1 40000 1883"), Some("192.0.2.7:40000")),
        ("v1-tcp4-short", line("PROXY TCP4 1.1.1.1 1.1.1.1 1 1"), Some("1.1.1.1:1")),
        ("v1-tcp6", line("PROXY TCP6 2001:db8::7 ::1 40000 1883"), Some("[2001:db8::7]:40000")),
        (
            "v1-tcp6-longest",
            line(&format!("PROXY TCP6 {longest} {longest} 65535 65535")),
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        ("v1-mapped", line("PROXY TCP6 ::ffff:192.0.2.7 ::1 4 5"), Some("192.0.2.7:4")),
        ("v1-unknown", line("PROXY UNKNOWN"), None),
        (
            "v1-unknown-longest",
            line(&format!("PROXY UNKNOWN {longest} {longest} 65535 65535")),
            None,
        ),
        ("v1-unknown-words", line("PROXY UNKNOWN what ever may be said in so many words"), None),
        ("v1-nobody", line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0"), None),
        ("v2-tcp4", inet(&[]), Some("192.0.2.7:40000")),
        ("v2-tcp6", inet6(), Some("[2001:db8::7]:40000")),
        ("v2-tlvs", inet(TLVS), Some("192.0.2.7:40000")),
        ("v2-largest", inet(&[4; 4096 - 12]), Some("192.0.2.7:40000")),
        ("v2-local", v2(0x20, 0x00, &[]), None),
        ("v2-local-with-addresses", v2(0x20, 0x11, &[9; 12]), None),
        ("v2-local-of-no-family", v2(0x20, 0xFF, &[9; 3]), None),
        ("v2-unspecified", v2(0x21, 0x00, TLVS), None),
        ("v2-unix", v2(0x21, 0x31, &[0; 216]), None),
        ("v2-datagram", v2(0x21, 0x12, &[192, 0, 2, 7, 10, 0, 0, 1, 1, 1, 2, 2]), None),
    ]
}

/// The beginnings of connections that have no valid header, and a part of the error.
fn invalid() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    vec![
        ("CONNECT", BEHIND.to_vec(), "does not begin with"),
        ("another word", text("PROXYTCP4 1.1.1.1 1.1.1.1 1 1\r\n"), "does not begin with"),
        ("no family", text("PROXY \r\n1234567890"), "version 1 cannot be read"),
        ("another family", text("PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n"), "version 1"),
        ("words that begin alike", text("PROXY UNKNOWNS x\r\n"), "version 1"),
        ("a field less", text("PROXY TCP4 192.0.2.7 10.0.0.1 40000\r\nxyz"), "version 1"),
        ("a field more", text("PROXY TCP4 192.0.2.7 10.0.0.1 1 2 3\r\n"), "version 1"),
        ("IPv6 as IPv4", text("PROXY TCP4 ::1 ::1 40000 1883\r\n"), "version 1"),
        ("no port", text("PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n"), "version 1"),
        ("no line end", text("PROXY TCP4 1.1.1.1 1.1.1.1 1 1\rx"), "version 1"),
        ("not text", b"PROXY TCP4 \xFF\xFF\xFF\xFF \xFF 1 1\r\n".to_vec(), "version 1"),
        ("108 bytes", text(&long), "more than 107 bytes"),
        ("version 3", v2(0x31, 0x11, &[0; 12]), "version 2 cannot be read"),
        ("command 2", v2(0x22, 0x11, &[0; 12]), "version 2"),
        ("family 4", v2(0x21, 0x41, &[0; 12]), "version 2"),
        ("protocol 3", v2(0x21, 0x13, &[0; 12]), "version 2"),
        ("addresses cut short", v2(0x21, 0x11, &[0; 11]), "version 2"),
        ("4097 bytes", v2(0x21, 0x11, &[0; 4097]), "4113 bytes"),
        ("65535 bytes", v2(0x20, 0x00, &[0; 65535]), "65551 bytes"),
    ]
}

/// A stream that has these bytes and then ends.
async fn stream(bytes: &[u8]) -> DuplexStream {
    let (mut theirs, ours) = duplex(bytes.len().max(1));
    theirs.write_all(bytes).await.unwrap();
    ours
}

async fn read(bytes: &[u8], versions: Versions) -> Result<Opening, ProxyError> {
    proxies(versions).read(&mut stream(bytes).await, FROM_TRUSTED.into()).await
}

async fn rest(mut stream: DuplexStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    rest
}

#[tokio::test]
async fn a_header_names_the_client_and_what_is_behind_it_stays_in_the_stream() {
    for (name, header, client) in valid() {
        let mut stream = stream(&[&header, BEHIND].concat()).await;
        let opening = proxies(Versions::Any).read(&mut stream, FROM_TRUSTED.into()).await.unwrap();
        let client = client.map(|client| client.parse().unwrap());
        assert_eq!(opening, Opening::Client(client), "{name}");
        assert_eq!(rest(stream).await, BEHIND, "{name}");
    }
}

#[tokio::test]
async fn a_header_may_arrive_byte_by_byte() {
    for (name, header, client) in valid() {
        let (mut theirs, mut ours) = duplex(1);
        let sent = [&header, BEHIND].concat();
        let write = async move { theirs.write_all(&sent).await.unwrap() };
        let read = async move {
            let opening = proxies(Versions::Any).read(&mut ours, FROM_TRUSTED.into()).await;
            (opening.unwrap(), rest(ours).await)
        };
        let ((), (opening, rest)) = tokio::join!(write, read);
        let client = client.map(|client| client.parse().unwrap());
        assert_eq!((opening, &rest[..]), (Opening::Client(client), BEHIND), "{name}");
    }
}

#[tokio::test]
async fn only_the_versions_of_the_configuration_are_read() {
    for (name, header, _) in valid() {
        let is_v1 = name.starts_with("v1");
        assert_eq!(read(&header, Versions::V1).await.is_ok(), is_v1, "{name}");
        assert_eq!(read(&header, Versions::V2).await.is_ok(), !is_v1, "{name}");
    }
}

#[tokio::test]
async fn what_is_no_valid_header_is_refused() {
    for (name, bytes, part) in invalid() {
        let error = read(&bytes, Versions::Any).await.unwrap_err();
        assert!(matches!(error, ProxyError::Header(_)), "{name}: {error:?}");
        assert!(error.to_string().contains(part), "{name}: {error}");
        assert_eq!(error.to_string().lines().count(), 1, "{name}");
    }
}

#[tokio::test]
async fn a_header_that_is_cut_off_is_refused_and_a_silent_end_is_a_probe() {
    for (name, header, _) in valid() {
        for cut in 1..header.len() {
            let error = read(&header[..cut], Versions::Any).await.unwrap_err();
            assert!(matches!(error, ProxyError::Truncated(read) if read == cut), "{name} {cut}");
        }
    }
    assert_eq!(read(&[], Versions::Any).await.unwrap(), Opening::Probe);
}

#[tokio::test]
async fn nobody_else_is_believed() {
    let (_, header, _) = valid().swap_remove(0);
    for peer in ["192.0.2.1:1", "127.0.0.1:1", "[2001:db9::1]:1", "[::1]:1"] {
        let peer = PeerAddr::Inet(peer.parse().unwrap());
        let error = proxies(Versions::Any).read(&mut stream(&header).await, peer).await;
        assert!(matches!(error, Err(ProxyError::Untrusted)), "{peer}");
        // Whoever checks that the port is open does not have to be a proxy.
        let probe = proxies(Versions::Any).read(&mut stream(&[]).await, peer).await;
        assert_eq!(probe.unwrap(), Opening::Probe, "{peer}");
    }
    let error = proxies(Versions::Any).read(&mut stream(&header).await, PeerAddr::Local).await;
    assert!(matches!(error, Err(ProxyError::Untrusted)));
    for peer in ["10.255.0.1:1", "[2001:db8::1]:1", "[::ffff:10.0.0.1]:1"] {
        let peer = PeerAddr::Inet(peer.parse().unwrap());
        let read = proxies(Versions::Any).read(&mut stream(&header).await, peer).await;
        assert!(read.is_ok(), "{peer}");
    }
}

proptest! {
    /// A reader that reads no more than it is asked for reads exactly a valid header.
    #[test]
    fn no_byte_behind_a_valid_header_is_asked_for(
        source: std::net::IpAddr, ports: (u16, u16), pieces in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
        let header = format!("PROXY {family} {source} {source} {} {}\r\n", ports.0, ports.1);
        let header = header.as_bytes();
        let (mut have, mut pieces) = (0, pieces.into_iter().cycle());
        while let Step::Need(need) = header::step(&header[..have], Versions::Any).unwrap() {
            prop_assert!(need > 0 && have + need <= header.len(), "{need} at {have}");
            have += need.min(pieces.next().unwrap());
        }
        prop_assert_eq!(have, header.len());
    }

    /// Whatever arrives, the end is near: no panic, and never more than the longest header.
    #[test]
    fn no_bytes_lead_beyond_the_longest_header(
        begin in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 ", b"PROXY UNKNOWN", SIGNATURE]),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [begin, &bytes].concat();
        for versions in [Versions::V1, Versions::V2, Versions::Any] {
            for have in 0..=bytes.len() {
                if let Ok(Step::Need(need)) = header::step(&bytes[..have], versions) {
                    prop_assert!(need > 0 && have + need <= header::LONGEST_V2);
                }
            }
        }
    }
}

/// `FERRYMQ_WRITE_SEEDS=1 cargo test --lib fuzz_seeds` writes them again.
#[test]
fn fuzz_seeds_are_valid_headers_of_each_kind() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/proxy_protocol");
    for (name, header, _) in valid() {
        let path = directory.join(name);
        if std::env::var_os("FERRYMQ_WRITE_SEEDS").is_some() {
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(&path, &header).unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), header, "{name}");
    }
}
