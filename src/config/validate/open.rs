//! Who can reach the broker: rules that only a broker needs, and no other command.

use super::{Checked, Problem};
use crate::config::{Anonymous, Auth, ClientAuth, Config, Listener, Method};

/// A listener that others can reach needs a decision about who may connect.
pub(super) fn protected(config: &Config) -> Checked {
    let auth = &config.auth;
    for (name, listener) in &config.listeners {
        let own = listener.auth.as_ref();
        let anonymous = own.and_then(|own| own.allow_anonymous).unwrap_or(auth.allow_anonymous);
        if !listener.bind.is_on() || listener.is_local() || anonymous == Anonymous::Always {
            continue;
        }
        let own_methods = own.and_then(|own| own.methods.as_ref());
        let methods = own_methods.unwrap_or(&auth.methods);
        if auth.scram.file.is_some() || methods.iter().any(|one| is_able(*one, auth, listener)) {
            continue;
        }
        if auth.can_authenticate() || own_methods.is_some() {
            let table = own_methods.map_or("auth".to_owned(), |_| format!("listeners.{name}.auth"));
            return Err(Problem {
                key: format!("{table}.methods"),
                text: format!(
                    "nothing in it is configured, so nobody could connect to {}: add a method \
                     that is, or configure one of these",
                    listener.bind
                ),
            });
        }
        let who = if listener.bind.is_loopback() {
            "others can reach, through a proxy,"
        } else {
            "other machines can reach"
        };
        return Err(Problem {
            key: format!("listeners.{name}.bind"),
            text: format!(
                "{who} {}: set auth.password_file (see `ferrymq passwd`), or write \
                 auth.allow_anonymous = true (FERRYMQ_AUTH__ALLOW_ANONYMOUS=true) to let everyone \
                 in",
                listener.bind
            ),
        });
    }
    Ok(())
}

/// True if a method has what it needs to tell who a client of the listener is.
fn is_able(method: Method, auth: &Auth, listener: &Listener) -> bool {
    match method {
        Method::Password => auth.password_file.is_some(),
        Method::Jwt => auth.jwt.is_configured(),
        Method::Http => !auth.http.url.is_empty(),
        Method::Scram => auth.scram.file.is_some(),
        // With an optional certificate, those who show none are anonymous, which is not allowed.
        Method::Certificate => {
            listener.tls.as_ref().is_some_and(|tls| tls.client_auth != ClientAuth::Off)
        }
    }
}

/// Without a listener the broker cannot be used or monitored.
pub(super) fn reachable(config: &Config) -> Checked {
    let listens = config.listeners.values().any(|listener| listener.bind.is_on());
    if listens || config.http.health().addr().is_some() {
        return Ok(());
    }
    Err(Problem {
        key: "listeners.tcp.bind".to_owned(),
        text: "all listeners and http.bind are \"off\", so nobody could reach the broker: \
               turn one on"
            .to_owned(),
    })
}
