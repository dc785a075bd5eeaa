//! Checks that the committed seeds for fuzzing are up to date.
//! `FERRYMQ_WRITE_SEEDS=1 cargo test --lib fuzz_seeds` writes them again.

use std::path::Path;

use bytes::BytesMut;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::arbitrary as any_of;
use super::*;

/// Streams in the format of the fuzz targets: client to server, then server to client, with at
/// least one packet of each type.
fn seeds(version: Version) -> Vec<(String, Vec<u8>)> {
    let mut runner = TestRunner::deterministic();
    let mut seeds: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |role: u8, packet: &Packet<'_>| {
        let mut out = BytesMut::from(&[role][..]);
        encode::packet(&mut out, version, packet);
        let side = if role == 0 { "client" } else { "server" };
        let kind = packet_name(packet);
        let name = format!("{side}-{kind}");
        if !seeds.iter().any(|(known, _)| *known == name) {
            seeds.push((name, out.to_vec()));
        }
    };
    for _ in 0..200 {
        let connect = any_of::connect(version).new_tree(&mut runner).unwrap().current();
        add(0, &Packet::Connect(Box::new(connect)));
        add(0, &any_of::from_client(version).new_tree(&mut runner).unwrap().current());
        add(1, &any_of::from_server(version).new_tree(&mut runner).unwrap().current());
    }
    for role in [0, 1] {
        add(role, &Packet::Publish(publish(version, role == 1)));
    }
    seeds
}

fn publish(version: Version, to_client: bool) -> Publish<'static> {
    let v5 = version == Version::V5;
    Publish {
        dup: true,
        qos: QoS::ExactlyOnce,
        retain: true,
        packet_id: PacketId::new(7),
        topic: "a/b",
        topic_alias: v5.then_some(3),
        expiry: v5.then_some(60),
        properties: if v5 {
            (&[0x01, 1, 0x08, 0, 1, b'r', 0x09, 0, 1, 0xFF][..]).into()
        } else {
            (&[][..]).into()
        },
        subscription_ids: if v5 && to_client { vec![1, 300] } else { Vec::new() },
        payload: b"payload",
    }
}

fn packet_name(packet: &Packet<'_>) -> String {
    let debug = format!("{packet:?}");
    let end = debug.find(|c: char| !c.is_alphanumeric()).unwrap_or(debug.len());
    debug[..end].to_lowercase()
}

/// The seed is one packet, and the encoder still produces it.
fn check_seed(version: Version, seed: &[u8]) {
    let (&role, frame) = seed.split_first().unwrap();
    let decoder = match (role, frame[0] >> 4) {
        (0, 1) => Decoder::server(MAX),
        (0, _) => server(version),
        _ => client(version),
    };
    let mut out = BytesMut::new();
    encode::packet(&mut out, version, &accepted(&decoder, frame));
    assert_eq!(out, frame);
}

#[test]
fn fuzz_seeds_are_valid_packets_of_each_type_from_each_side() {
    for (target, version) in [("decode_v311", Version::V311), ("decode_v5", Version::V5)] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let seeds = seeds(version);
        assert_eq!(seeds.len(), if version == Version::V5 { 22 } else { 19 });
        for (name, bytes) in seeds {
            let path = directory.join(name);
            if std::env::var_os("FERRYMQ_WRITE_SEEDS").is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, &bytes).unwrap();
            }
            check_seed(version, &std::fs::read(&path).unwrap());
        }
    }
}
