//! Reads the input as a client, a topic and Mosquitto's `acl_file`, and asks what the client may
//! do.

use crate::auth::Principal;
use crate::auth::acl::{Granted, MosquittoFile, Rules, Subject};
use crate::protocol::{QoS, TopicName};

/// User name, client id, topic and file, with a zero byte after each of the first three. An
/// empty user name is none.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let parts: Vec<&str> = text.splitn(4, '\0').collect();
    let [user, client_id, topic, file] = parts[..] else {
        return;
    };
    let rules = match MosquittoFile::parse(file) {
        Ok(file) => Rules::Mosquitto(file),
        Err(error) => {
            assert!(error.line >= 1 && error.line <= file.lines().count());
            return;
        }
    };
    if TopicName::new(topic).is_err() {
        return;
    }
    let client = Principal {
        client_id: client_id.into(),
        username: (!user.is_empty()).then(|| user.into()),
        address: ([127, 0, 0, 1], 1).into(),
        listener: "tcp".into(),
        certificate: None,
    };
    let access = rules.access(Subject::Client(&client), None);
    let delivers = access.deliver(topic).is_allowed();
    // A topic is a filter that matches nothing else.
    let granted = matches!(access.subscribe(topic), Granted::UpTo(..));
    assert_eq!(granted, delivers, "{topic:?}");
    access.publish(topic, QoS::AtLeastOnce, true);
    assert!(access.says_the_same(&rules.access(Subject::Client(&client), None)));
}
