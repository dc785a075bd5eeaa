//! `ferrymq auth explain`: what a client may do, and which rule decides it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::json;

use super::Exit;
use super::output::{complain, say};
use crate::auth::Principal;
use crate::auth::acl::{Decision, Granted, Origin, Rules, Subject};
use crate::config::Config;
use crate::peer::{ClientCertificate, PeerAddr};
use crate::protocol::{QoS, TopicFilter, TopicName};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Print whether a client may publish or subscribe, and the rule that decides: exit 0 if it
    /// may, 1 if not
    ///
    /// The rules are read from the configuration. Rules that come with a token or with the
    /// answer of an authentication server are asked before these, and are not known here.
    Explain(Explain),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("action").required(true).args(["publish", "subscribe"]))]
pub(super) struct Explain {
    /// The user name; without it, a client that has none
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The client id
    #[arg(long, value_name = "ID")]
    client_id: String,
    /// The listener that it connects to; without it, the first one
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Its address
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    address: IpAddr,
    /// The subject of its certificate
    #[arg(long, value_name = "SUBJECT")]
    certificate: Option<String>,
    /// A topic to publish to
    #[arg(long, value_name = "TOPIC")]
    publish: Option<String>,
    /// The QoS of the message
    #[arg(long, value_name = "QOS", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// The message is retained
    #[arg(long, conflicts_with = "subscribe")]
    retain: bool,
    /// A topic filter to subscribe to
    #[arg(long, value_name = "FILTER")]
    subscribe: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    allowed: bool,
    /// The highest QoS of a subscription.
    max_qos: Option<QoS>,
    /// The rule or line, or why there is none.
    decided_by: String,
}

pub(super) fn run(command: &Command, config: &Config) -> Exit {
    let Command::Explain(args) = command;
    let answer = match args.answer(config) {
        Ok(answer) => answer,
        Err(problem) => {
            complain(&problem);
            return Exit::Usage;
        }
    };
    if args.json {
        say(json!({
            "allowed": answer.allowed,
            "max_qos": answer.max_qos.map(|qos| qos as u8),
            "decided_by": answer.decided_by,
        }));
    } else {
        say(answer.text());
    }
    if answer.allowed { Exit::Ok } else { Exit::Failure }
}

impl Explain {
    fn answer(&self, config: &Config) -> Result<Answer, String> {
        let access = Rules::load(config)
            .map_err(|error| error.to_string())?
            .access(Subject::Client(&self.client(config)?), None);
        if let Some(topic) = &self.publish {
            TopicName::new(topic).map_err(|error| format!("--publish {topic}: {error}"))?;
            if topic.starts_with("$SYS/") {
                return Ok(Answer {
                    allowed: false,
                    max_qos: None,
                    decided_by: "only the broker publishes below $SYS".to_owned(),
                });
            }
            return Ok(access.publish(topic, self.qos(), self.retain).into());
        }
        let filter = self.subscribe.as_deref().unwrap_or_default();
        let filter =
            TopicFilter::new(filter).map_err(|error| format!("--subscribe {filter}: {error}"))?;
        Ok(access.subscribe(filter.matched()).into())
    }

    fn client(&self, config: &Config) -> Result<Principal, String> {
        let listener = match &self.listener {
            Some(name) if !config.listeners.contains_key(name) => {
                return Err(format!("--listener {name}: there is no such listener"));
            }
            Some(name) => name.as_str(),
            None => config.listeners.keys().next().map_or("", String::as_str),
        };
        let certificate = self.certificate.as_deref().map(|subject| {
            Arc::new(ClientCertificate { subject: subject.into(), ..ClientCertificate::default() })
        });
        Ok(Principal {
            client_id: self.client_id.as_str().into(),
            username: self.user.as_deref().map(Into::into),
            address: PeerAddr::Inet(SocketAddr::new(self.address, 0)),
            listener: listener.into(),
            certificate,
        })
    }

    fn qos(&self) -> QoS {
        // The argument's range is checked.
        QoS::from_bits(self.qos).unwrap_or(QoS::ExactlyOnce)
    }
}

impl Answer {
    fn text(&self) -> String {
        let Self { allowed, max_qos, decided_by } = self;
        match (allowed, max_qos) {
            (true, Some(qos)) => format!("allowed up to QoS {}: {decided_by}", *qos as u8),
            (true, None) => format!("allowed: {decided_by}"),
            (false, _) => format!("denied: {decided_by}"),
        }
    }
}

impl From<Decision> for Answer {
    fn from(decision: Decision) -> Self {
        let decided_by = decision.origin.to_string();
        Self { allowed: decision.is_allowed(), max_qos: None, decided_by }
    }
}

impl From<Granted> for Answer {
    fn from(granted: Granted) -> Self {
        let answer = |allowed, max_qos, origin: Origin| Self {
            allowed,
            max_qos,
            decided_by: origin.to_string(),
        };
        match granted {
            Granted::UpTo(qos, origin) => answer(true, Some(qos), origin),
            Granted::Nothing(origin) => answer(false, None, origin),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: Command,
    }

    fn answer(config: &Config, arguments: &[&str]) -> Result<String, String> {
        let cli = Cli::parse_from(["auth", "explain"].iter().chain(arguments));
        let Command::Explain(args) = cli.command;
        args.answer(config).map(|answer| answer.text())
    }

    fn rules(text: &str) -> Config {
        let mut config = Config::default();
        config.acl.rules = serde_json::from_str(text).unwrap();
        config
    }

    #[test]
    fn the_rule_that_decides_is_named() {
        let config = rules(
            r#"[{"effect": "deny", "topics": ["a/x"], "users": ["ann"]},
                {"effect": "allow", "topics": ["a/%c"], "max_qos": 1}]"#,
        );
        let ann = ["--user", "ann", "--client-id", "x"];
        let ask = |more: &[&str]| answer(&config, &[&ann, more].concat()).unwrap();
        assert_eq!(ask(&["--publish", "a/x"]), "denied: rule 1 of [[acl.rules]]");
        assert_eq!(ask(&["--publish", "b"]), "denied: no rule matches");
        assert!(ask(&["--publish", "$SYS/x"]).starts_with("denied: only the broker"));
        let any = |more: &[&str]| answer(&config, &[&["--client-id", "x"], more].concat()).unwrap();
        assert_eq!(any(&["--publish", "a/x", "--retain"]), "allowed: rule 2 of [[acl.rules]]");
        assert_eq!(any(&["--publish", "a/x", "--qos", "2"]), "denied: no rule matches");
        let shared = any(&["--subscribe", "$share/g/a/+"]);
        assert_eq!(shared, "allowed up to QoS 1: rule 2 of [[acl.rules]]");
    }

    #[test]
    fn what_is_not_there_is_misuse() {
        let config = Config::default();
        let ask = |more: &[&str]| answer(&config, &[&["--client-id", "x"], more].concat());
        assert_eq!(ask(&["--publish", "a"]).unwrap(), "allowed: there are no rules");
        ask(&["--publish", "a/#"]).unwrap_err();
        ask(&["--subscribe", "a/#/b"]).unwrap_err();
        ask(&["--publish", "a", "--listener", "none"]).unwrap_err();
    }
}
