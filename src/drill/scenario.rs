//! The clients of the drill: publishers of each QoS and version; subscribers that are online,
//! offline and shared.

use super::PAYLOAD;
use crate::load::Publisher;
use crate::protocol::{QoS, Version};

/// Inflight window of each publisher.
const WINDOW: u16 = 200;

/// Topics with a retained message.
pub(super) const RETAINED: usize = 8;

/// The filter of the subscribers with queues.
const QUEUES: &str = "drill/queue/#";

/// The filter of the retained topics.
pub(super) const RETAINED_FILTER: &str = "drill/retained/#";

/// Parameters of one publisher.
pub(super) struct Sender {
    pub(super) name: &'static str,
    pub(super) version: Version,
    pub(super) qos: QoS,
    pub(super) retained: bool,
}

/// The publishers, numbered in this order; the last one publishes the retained messages.
pub(super) const SENDERS: [Sender; 5] = [
    sender("publisher-qos1-v311", Version::V311, QoS::AtLeastOnce),
    sender("publisher-qos1-v5", Version::V5, QoS::AtLeastOnce),
    sender("publisher-qos2-v311", Version::V311, QoS::ExactlyOnce),
    sender("publisher-qos2-v5", Version::V5, QoS::ExactlyOnce),
    Sender { retained: true, ..sender("publisher-retained", Version::V5, QoS::AtLeastOnce) },
];

const fn sender(name: &'static str, version: Version, qos: QoS) -> Sender {
    Sender { name, version, qos, retained: false }
}

impl Sender {
    pub(super) fn publisher(&self, number: u32) -> Publisher {
        let topic = format!("drill/queue/{}", self.name);
        let publisher = Publisher::new(number, self.version, self.qos, topic, WINDOW);
        let publisher = publisher.with_payload(PAYLOAD);
        if self.retained {
            let topics = (0..RETAINED).map(|topic| format!("drill/retained/{topic}"));
            publisher.with_retained(topics.collect())
        } else {
            publisher
        }
    }
}

/// Parameters of one subscriber.
pub(super) struct Subscription {
    pub(super) name: &'static str,
    pub(super) version: Version,
    pub(super) filter: &'static str,
    /// True if it stays offline until the end.
    pub(super) away: bool,
    /// Index into [`GROUPS`] of the group that counts its messages.
    pub(super) group: usize,
}

/// Groups of subscribers. Each group must receive every message.
pub(super) const GROUPS: [&str; 5] =
    ["online v3.1.1", "online v5", "offline v3.1.1", "offline v5", "shared group of two"];

/// The index of the shared group. Its two members are not checked for order: a message may go
/// to either [MQTT-4.8.2].
pub(super) const SHARED: usize = 4;

const SHARE: &str = "$share/crew/drill/queue/#";

pub(super) const SUBSCRIPTIONS: [Subscription; 6] = [
    subscription("online-v311", Version::V311, QUEUES, false, 0),
    subscription("online-v5", Version::V5, QUEUES, false, 1),
    subscription("offline-v311", Version::V311, QUEUES, true, 2),
    subscription("offline-v5", Version::V5, QUEUES, true, 3),
    subscription("shared-a", Version::V5, SHARE, false, SHARED),
    subscription("shared-b", Version::V5, SHARE, false, SHARED),
];

const fn subscription(
    name: &'static str,
    version: Version,
    filter: &'static str,
    away: bool,
    group: usize,
) -> Subscription {
    Subscription { name, version, filter, away, group }
}
