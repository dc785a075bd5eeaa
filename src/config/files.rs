//! The files that a running broker reads again.

use std::path::PathBuf;

use super::Config;

impl Config {
    /// Files whose content a reload reads: credentials, keys, certificates, access rules. Those
    /// of bridges are read at each dial instead.
    pub fn files(&self) -> Vec<PathBuf> {
        let Self { auth, acl, http, listeners, .. } = self;
        let mut files = vec![
            &auth.password_file,
            &auth.jwt.secret_file,
            &auth.jwt.key_file,
            &auth.jwt.jwks_file,
            &auth.jwt.ca_file,
            &auth.http.ca_file,
            &auth.http.authorization_file,
            &auth.scram.file,
            &acl.mosquitto_file,
            &http.token_file,
        ];
        let open = listeners.values().filter(|one| one.bind.is_on() && one.protocol.is_tls());
        for tls in open.filter_map(|listener| listener.tls.as_ref()) {
            files.extend([
                &tls.certificate_file,
                &tls.key_file,
                &tls.client_ca_file,
                &tls.crl_file,
            ]);
        }
        files.into_iter().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ListenAt, ListenerTls, Protocol};

    #[test]
    fn files_of_listeners_are_among_them() {
        let mut config = Config::default();
        assert!(config.files().is_empty());
        config.auth.password_file = Some("/p".into());
        let tls = ListenerTls { key_file: Some("/k".into()), ..ListenerTls::default() };
        let listener = config.listeners.get_mut("tcp").unwrap();
        (listener.protocol, listener.tls) = (Protocol::Mqtts, Some(tls));
        assert_eq!(config.files(), [PathBuf::from("/p"), PathBuf::from("/k")]);
        config.listeners.get_mut("tcp").unwrap().bind = ListenAt::Off;
        assert_eq!(config.files(), [PathBuf::from("/p")], "nobody reads those of one that is off");
    }
}
