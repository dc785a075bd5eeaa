//! Writes hundreds of thousands of sessions through the store's API: over sockets they would
//! take longer than all other tests together.
//!
//! `tests/scale.rs` compares a few of them with what the broker writes for clients that
//! connect and subscribe.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ferrymq::message::{DeliveryId, SessionId, WallMillis};
use ferrymq::protocol::{QoS, RetainHandling, SubscriptionOptions, Version};
use ferrymq::store::{Change, SessionRecord, Store, StoreConfig, Submission, SubscriptionRecord};

/// The default of `session.max_expiry`, which MQTT 3.1.1 sessions get.
const EXPIRY_SECONDS: u32 = 7 * 24 * 3600;

pub fn client_id(number: u64) -> String {
    format!("device-{number:06}")
}

/// Eight filters of the session alone, one that a hundred sessions share, and one that all
/// share.
pub fn filters(number: u64) -> Vec<String> {
    let own = ["set", "get", "reboot", "config", "firmware", "state/+", "log/#", "time"];
    let mut filters: Vec<_> =
        own.iter().map(|name| format!("devices/{}/{name}", client_id(number))).collect();
    filters.push(format!("groups/{}/#", number / 100));
    filters.push("announcements".into());
    filters
}

/// Writes sessions `1..=count` as MQTT 3.1.1 clients leave them; with `connected`, as they are
/// while their clients are connected.
pub fn sessions(path: &Path, count: u64, connected: bool, in_order: bool) {
    let hook = Box::new(|reason: &str| panic!("poisoned: {reason}"));
    let (store, _) = Store::open(&StoreConfig::at(path), Arc::default(), hook).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = WallMillis(u64::try_from(now.as_millis()).unwrap());
    let mut submission = Submission::default();
    for number in 1..=count {
        let record = SessionRecord {
            id: SessionId(number),
            client_id: client_id(number).into(),
            owner: None,
            version: Version::V311,
            expiry: EXPIRY_SECONDS,
            disconnected_at: (!connected).then_some(now),
            sent_up_to: DeliveryId(0),
            will: None,
        };
        submission.change(store.order(), Change::Session(Box::new(record)));
        for filter in filters(number) {
            submission.change(store.order(), subscribe(number, filter));
        }
        if number % 1000 == 0 || number == count {
            store.submit(&mut submission).unwrap();
            store.flush().unwrap();
        }
    }
    if in_order {
        store.shutdown(Duration::from_mins(1)).unwrap();
    }
}

fn subscribe(number: u64, filter: String) -> Change {
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::Always,
    };
    let record = SubscriptionRecord { filter: filter.into(), options, identifier: None };
    Change::Subscribe(SessionId(number), Box::new(record))
}
