//! `ferrymq config check` and `ferrymq config show`.

use super::Exit;
use super::output::{complain, say};
use crate::auth::Authenticator;
use crate::auth::acl::Rules;
use crate::bridge::file_warnings;
use crate::config::{Config, Sources};
use crate::http::Tokens;
use crate::net::tls::TlsContext;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check the configuration: exit 0 if it is valid, 2 if not
    Check,
    /// Print the effective configuration, secrets masked
    Show {
        /// Print JSON instead of TOML
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &Command, config: &Config, sources: &Sources) -> Exit {
    match command {
        Command::Check => check(config, sources),
        Command::Show { json } => show(config, *json),
    }
}

fn check(config: &Config, sources: &Sources) -> Exit {
    for name in sources.unused_variables() {
        let text = "sets nothing: a key is written as FERRYMQ_TABLE__KEY";
        complain(&format_args!("warning: the environment variable {name} {text}"));
    }
    // Password file, access rules and tokens stand in other files, but a broker does not start without them.
    if let Err(error) = Authenticator::load(config) {
        complain(&error);
        return Exit::Usage;
    }
    if let Err(error) = Rules::load(config) {
        complain(&error);
        return Exit::Usage;
    }
    if let Err(error) = Tokens::load(&config.http) {
        complain(&error);
        return Exit::Usage;
    }
    // Without these, listeners do not open and bridges do not connect; they may come later.
    for warning in warnings_of_files(config) {
        complain(&format_args!("warning: {warning}"));
    }
    say(format_args!("configuration ok: {}", summary(config)));
    Exit::Ok
}

/// Files of certificates and of bridges that cannot be used as they are now, or by too many.
fn warnings_of_files(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, listener) in &config.listeners {
        if !listener.protocol.is_tls() {
            continue;
        }
        let files = listener.tls.clone().unwrap_or_default();
        match TlsContext::load(name, listener.protocol.is_websocket(), &files) {
            Ok(tls) => warnings.extend(tls.warnings()),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    for (name, bridge) in &config.bridges {
        warnings.extend(file_warnings(name, bridge));
    }
    warnings
}

fn show(config: &Config, json: bool) -> Exit {
    let shown = if json {
        config.to_json().map_err(|error| error.to_string())
    } else {
        config.to_toml().map_err(|error| error.to_string())
    };
    match shown {
        Ok(text) => say(text.trim_end()),
        Err(error) => {
            complain(&error);
            return Exit::Failure;
        }
    }
    Exit::Ok
}

/// One line with the listeners, the bridges and the database of a broker with this configuration.
fn summary(config: &Config) -> String {
    let mut parts: Vec<String> = config
        .listeners
        .iter()
        .map(|(name, listener)| format!("{name} on {}", listener.bind))
        .collect();
    parts.push(format!("http on {}", config.http.bind));
    for (name, bridge) in &config.bridges {
        let addresses = bridge.addresses.iter().map(ToString::to_string);
        parts.push(format!("bridge {name} to {}", addresses.collect::<Vec<_>>().join(" or ")));
    }
    parts.push(if config.persistence.enabled {
        let disk = &config.persistence;
        format!("database {} ({})", disk.path.display(), disk.durability.as_str())
    } else {
        "in memory only".to_owned()
    });
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Bridge, List};

    #[test]
    fn the_summary_is_one_line() {
        let mut config = Config::default();
        assert_eq!(
            summary(&config),
            "tcp on 127.0.0.1:1883, http on 127.0.0.1:8080, database data/ferrymq.db (fsync)"
        );
        config.persistence.enabled = false;
        let addresses = List(vec!["mqtt://a".parse().unwrap()]);
        let bridge = Bridge { addresses, ..Bridge::default() };
        config.bridges.insert("up".to_owned(), bridge);
        assert!(
            summary(&config).contains(", bridge up to mqtt://a:1883, "),
            "{}",
            summary(&config)
        );
        assert!(summary(&config).ends_with("in memory only"));
    }
}
