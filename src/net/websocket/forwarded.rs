//! `X-Forwarded-For`: the client's address, as proxies that are trusted have written it. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::peer::is_within;

/// The client's address: the last one in `values` that is no trusted proxy's, or the first one
/// if all are. `values` are those of the header, in their order. `None` if `peer` is not a
/// trusted proxy, or has named nobody.
///
/// Each proxy appends whom it was called by. So the list is read from its end, each entry on
/// the word of the one behind it, and what is left of an entry that is no address, or that is
/// not a proxy's, is a client's claim.
pub fn forwarded_for<'a>(
    values: impl DoubleEndedIterator<Item = &'a [u8]>,
    peer: IpAddr,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let is_trusted = |address: IpAddr| is_within(address, trusted);
    let mut client = None;
    if !is_trusted(peer) {
        return None;
    }
    for entry in values.rev().flat_map(|value| value.rsplit(|byte| *byte == b',')) {
        let Some(address) = address(entry) else { break };
        client = Some(address);
        if !is_trusted(address) {
            break;
        }
    }
    client
}

/// An address, of IPv6 with or without brackets, with or without a port.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let address = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => {
            text.parse().or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip())).ok()?
        }
    };
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(values: &[&str], peer: &str) -> Option<String> {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let values = values.iter().map(|value| value.as_bytes());
        forwarded_for(values, peer.parse().unwrap(), &trusted).map(|address| address.to_string())
    }

    fn says(values: &[&str], expected: &str) {
        assert_eq!(client(values, "10.0.0.1").as_deref(), Some(expected), "{values:?}");
    }

    #[test]
    fn only_a_trusted_peer_is_believed() {
        assert_eq!(client(&["192.0.2.1"], "198.51.100.1"), None);
        assert_eq!(client(&["192.0.2.1"], "2001:db8::1"), None);
        assert_eq!(client(&["192.0.2.1"], "::ffff:10.0.0.1").as_deref(), Some("192.0.2.1"));
        assert_eq!(client(&["192.0.2.1"], "fd00::1").as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_client() {
        says(&["192.0.2.1"], "192.0.2.1");
        says(&["203.0.113.9, 192.0.2.1"], "192.0.2.1");
        says(&["203.0.113.9,192.0.2.1 ,\t10.1.1.1"], "192.0.2.1");
        says(&["203.0.113.9", "192.0.2.1, 10.2.2.2", "10.1.1.1"], "192.0.2.1");
        says(&["10.3.3.3, 10.2.2.2"], "10.3.3.3");
    }

    #[test]
    fn addresses_may_have_brackets_and_ports() {
        says(&["192.0.2.1:4711"], "192.0.2.1");
        says(&["2001:db8::1"], "2001:db8::1");
        says(&["[2001:db8::1]"], "2001:db8::1");
        says(&["[2001:db8::1]:4711"], "2001:db8::1");
        says(&["::ffff:192.0.2.1"], "192.0.2.1");
        says(&["192.0.2.1, ::ffff:10.1.1.1"], "192.0.2.1");
    }

    #[test]
    fn nothing_is_believed_beyond_an_entry_that_is_no_address() {
        for garbage in ["", "unknown", "_hidden", "[192.0.2.1]", "192.0.2.1.5", "::g", "1.2.3.4:"] {
            assert_eq!(client(&[garbage], "10.0.0.1"), None, "{garbage}");
            says(&["192.0.2.1", garbage, "10.1.1.1"], "10.1.1.1");
        }
        let values: [&[u8]; 1] = [b"192.0.2.1, \xff"];
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        assert_eq!(forwarded_for(values.into_iter(), [10, 0, 0, 1].into(), &trusted), None);
        assert_eq!(client(&[], "10.0.0.1"), None);
    }
}
