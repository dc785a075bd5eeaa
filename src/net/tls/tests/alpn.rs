//! Application protocols (RFC 7301): chosen if known, and nobody is refused.

use super::support::*;
use crate::config::ClientAuth;
use crate::net::tls::TlsContext;

type Protocol = Option<&'static [u8]>;

#[tokio::test]
async fn a_known_protocol_is_chosen_and_unknown_ones_refuse_nobody() {
    let world = World::new(ClientAuth::Off);
    let mqtt = world.context();
    let websocket = TlsContext::load("web", true, &world.settings).unwrap();
    // What is offered, and what `mqtts` and `wss` choose.
    let offers: [(&[&[u8]], Protocol, Protocol); 6] = [
        (&[], None, None),
        (&[b"mqtt"], Some(b"mqtt"), None),
        (&[b"http/1.1"], None, Some(b"http/1.1")),
        (&[b"h2", b"http/1.1"], None, Some(b"http/1.1")),
        (&[b"x-amzn-mqtt-ca"], None, None),
        (&[b"x-amzn-mqtt-ca", b"mqtt"], Some(b"mqtt"), None),
    ];
    for (offered, of_mqtt, of_websocket) in offers {
        for (context, expected) in [(&mqtt, of_mqtt), (&websocket, of_websocket)] {
            let mut client = world.client(None);
            client.alpn_protocols = offered.iter().map(|one| one.to_vec()).collect();
            let (_server, client) = accepted(context, client).await;
            assert_eq!(client.get_ref().1.alpn_protocol(), expected, "{offered:?}");
        }
    }
}
