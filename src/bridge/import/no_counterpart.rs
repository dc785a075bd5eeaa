//! Settings of Mosquitto that no key stands for, and why.

use super::connection::Connection;
use super::line::Line;

/// Why a setting of a bridge has no counterpart; `None` if it is not one of these.
pub(super) fn of_bridge(keyword: &str) -> Option<&'static str> {
    Some(match keyword {
        "local_clientid" | "local_username" | "local_password" => {
            "no counterpart: at this broker a bridge is the user bridge:NAME and needs no log-in; \
             name it in [acl] if it may not do everything"
        }
        "local_cleansession" => {
            "no counterpart: the session of a bridge at this broker is always durable"
        }
        "bridge_capath" => {
            "no counterpart for a directory: write its certificates into one file, and set \
             tls.ca_file to it"
        }
        "bridge_identity" | "bridge_psk" => {
            "no counterpart: pre-shared keys are not supported, so that the remote broker needs a \
             certificate"
        }
        "bridge_tls_version" => "no counterpart: TLS 1.2 and 1.3 are offered",
        "bridge_ciphers" | "bridge_ciphers_tls1.3" => {
            "no counterpart: the cipher suites that are offered cannot be chosen"
        }
        "bridge_require_ocsp" => "no counterpart: OCSP is not supported",
        "bridge_attempt_unsubscribe" => {
            "no counterpart: there is no setting for what is unsubscribed at the remote broker"
        }
        "bridge_max_packet_size" => {
            "no counterpart: the limit that a remote broker of MQTT 5.0 announces is respected"
        }
        "bridge_max_topic_alias" => {
            "no counterpart: as many topic aliases are used as the remote broker allows"
        }
        "bridge_bind_address" => "no counterpart: the system chooses the local address",
        "bridge_tcp_keepalive" | "bridge_tcp_user_timeout" => {
            "no counterpart: a dead link is found by keep_alive and ack_timeout"
        }
        "bridge_reload_type" => "no counterpart: a reload leaves bridges alone that did not change",
        "idle_timeout" | "threshold" => {
            "no counterpart: it is for start_type lazy; a bridge is always connected"
        }
        _ => return None,
    })
}

/// Why a line that is no setting of the bridge above it is left out.
pub(super) fn outside(line: Line<'_>) -> &'static str {
    match line.keyword {
        "include_dir" => {
            "the files in it are not read: run the command for each of them that has a connection"
        }
        "queue_qos0_messages" => {
            "not a setting of one bridge: if it is true, set queue_qos0 = true for each bridge"
        }
        "max_queued_messages" | "max_queued_bytes" => {
            "a setting of the whole broker there: here each bridge has a key of this name, \
             bridges.NAME.max_queued_messages or max_queued_bytes"
        }
        "max_inflight_messages" => {
            "a setting of the whole broker there: here each bridge has a key receive_maximum"
        }
        _ if Connection::new(line).apply(line, &mut Vec::new()) => {
            "it belongs to a bridge, and there is no connection above it"
        }
        _ => "not a setting of a bridge",
    }
}
