//! Rules against a naive evaluator, and the statements of Mosquitto's manual.

mod index;
mod mosquitto;
mod own;

use crate::auth::Principal;

/// A client that came from this machine.
fn client(username: Option<&str>, client_id: &str) -> Principal {
    Principal {
        client_id: client_id.into(),
        username: username.map(Into::into),
        address: ([127, 0, 0, 1], 1).into(),
        listener: "tcp".into(),
        certificate: None,
    }
}

/// All topics of up to three levels of these names.
fn topics(names: &[&str]) -> Vec<String> {
    let mut all: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    for _ in 0..2 {
        let longer: Vec<_> = all
            .iter()
            .flat_map(|topic| names.iter().map(move |name| format!("{topic}/{name}")))
            .collect();
        all.extend(longer);
        all.sort();
        all.dedup();
    }
    all.retain(|topic| topic.split('/').count() <= 3);
    all
}
