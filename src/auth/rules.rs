//! The access rules in force: reads them from `[acl]` and its file, and replaces them as a
//! whole. `auth::acl` decides by them; the broker asks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::acl::{Effect, FileError, Group, MosquittoFile, Pattern, Rule, Rules, Who};
use crate::config::{self, AclAction, AclEffect, AclRule, Config, must_be_regular};
use crate::protocol::{QoS, TopicError};

/// Why the access rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The file is missing, may not be read, or is none.
    #[error("cannot read acl.mosquitto_file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A line of the file has no meaning.
    #[error("acl.mosquitto_file {}, {source}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong with it.
        source: FileError,
    },
    /// A topic of a rule is none.
    #[error("acl.rules: rule {number}, topics: found {topic:?}: {source}")]
    Topic {
        /// The number of the rule, from 1.
        number: usize,
        /// As it was written.
        topic: String,
        /// What is wrong with it.
        source: TopicError,
    },
    /// A part of a rule that is checked with the rest of the configuration.
    #[error("acl.rules: rule {number}, {key}: {text} is not valid")]
    Rule {
        /// The number of the rule, from 1.
        number: usize,
        /// The key.
        key: &'static str,
        /// What was found.
        text: String,
    },
}

impl Rules {
    /// Reads the rules of `[acl]`.
    ///
    /// # Errors
    /// See [`RulesError`].
    pub fn load(config: &Config) -> Result<Self, RulesError> {
        let acl = &config.acl;
        if let Some(path) = &acl.mosquitto_file {
            return read_file(path).map(Self::Mosquitto);
        }
        if acl.rules.is_empty() {
            return Ok(Self::None);
        }
        let rules = (1..).zip(&acl.rules).map(|(number, rule)| rule_of(number, rule, acl));
        Ok(Self::own(rules.collect::<Result<_, _>>()?))
    }
}

fn read_file(path: &Path) -> Result<MosquittoFile, RulesError> {
    let text = must_be_regular(path).and_then(|()| std::fs::read_to_string(path));
    let text = text.map_err(|source| RulesError::Unreadable { path: path.to_owned(), source })?;
    MosquittoFile::parse(&text).map_err(|source| RulesError::Line { path: path.to_owned(), source })
}

fn rule_of(number: usize, rule: &AclRule, acl: &config::Acl) -> Result<Rule, RulesError> {
    let wrong = |key, text: &str| RulesError::Rule { number, key, text: text.to_owned() };
    let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    let mut groups = Vec::new();
    for name in &rule.groups {
        let users = acl.groups.get(name).ok_or_else(|| wrong("groups", name))?;
        groups.push(Group::new(users.iter().map(|user| user.as_str().into()).collect()));
    }
    let topics = rule.topics.iter().map(|topic| {
        let fail = |source| RulesError::Topic { number, topic: topic.clone(), source };
        Pattern::new(topic).map_err(fail)
    });
    Ok(Rule {
        who: Who {
            users: boxed(&rule.users),
            groups,
            client_ids: boxed(&rule.client_ids),
            networks: rule.parsed_networks().map_err(|text| wrong("networks", text))?,
            listeners: boxed(&rule.listeners),
            certificates: boxed(&rule.certificates),
        },
        publish: rule.action != AclAction::Subscribe,
        subscribe: rule.action != AclAction::Publish,
        effect: match rule.effect {
            AclEffect::Allow => Effect::Allow,
            AclEffect::Deny => Effect::Deny,
        },
        topics: topics.collect::<Result<_, _>>()?,
        max_qos: QoS::from_bits(rule.max_qos)
            .ok_or_else(|| wrong("max_qos", &rule.max_qos.to_string()))?,
        retain: rule.retain,
    })
}

/// The rules in force. Its lock is taken alone.
#[derive(Debug, Default)]
pub struct CurrentRules {
    rules: RwLock<Arc<Rules>>,
    generation: AtomicU64,
    changes: AtomicU64,
    /// There are rules for all.
    is_on: AtomicBool,
    /// A client has come with rules of its own.
    has_guests: AtomicBool,
}

impl CurrentRules {
    /// The rules and their generation.
    pub fn get(&self) -> (Arc<Rules>, u64) {
        let rules = self.rules.read();
        (Arc::clone(&rules), self.generation())
    }

    /// Replaces the rules. True if they differ from the current ones.
    pub fn replace(&self, rules: Rules) -> bool {
        let mut current = self.rules.write();
        if **current == rules {
            return false;
        }
        self.is_on.store(rules != Rules::None, Ordering::Release);
        *current = Arc::new(rules);
        self.generation.fetch_add(1, Ordering::Release);
        self.note_change();
        true
    }

    /// Changes whenever the rules do.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Changes whenever a session may do something else than before.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Notes that a session may do something else than before.
    pub fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }

    /// Notes that a client has come with rules of its own.
    pub fn note_guest(&self) {
        if !self.has_guests.swap(true, Ordering::AcqRel) {
            self.note_change();
        }
    }

    /// False if every client may do everything, so that nobody has to be asked.
    pub fn limit_anyone(&self) -> bool {
        self.is_on.load(Ordering::Acquire) || self.has_guests.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;
    use crate::auth::acl::Subject;

    fn rule(text: &str) -> AclRule {
        serde_json::from_str(text).unwrap()
    }

    fn ann() -> Principal {
        Principal {
            client_id: "d".into(),
            username: Some("ann".into()),
            address: ([127, 0, 0, 1], 1).into(),
            listener: "tcp".into(),
            certificate: None,
        }
    }

    #[test]
    fn a_rule_means_what_it_says() {
        let mut config = Config::default();
        config.acl.groups.insert("staff".into(), vec!["ann".into()]);
        config.acl.rules = vec![
            rule(
                r#"{"effect": "deny", "action": "publish", "topics": ["a"], "groups": ["staff"]}"#,
            ),
            rule(
                r##"{"effect": "allow", "topics": ["#"], "networks": ["127.0.0.1"], "max_qos": 1}"##,
            ),
        ];
        let access = Rules::load(&config).unwrap().access(Subject::Client(&ann()), None);
        assert!(!access.publish("a", QoS::AtMostOnce, false).is_allowed());
        assert!(access.deliver("a").is_allowed());
        assert!(access.publish("b", QoS::AtLeastOnce, true).is_allowed());
        assert!(!access.publish("b", QoS::ExactlyOnce, false).is_allowed());
    }

    #[test]
    fn a_wrong_topic_is_named_with_its_rule() {
        let mut config = Config::default();
        config.acl.rules = vec![rule(r#"{"effect": "allow", "topics": ["a", "b/#/c"]}"#)];
        let error = Rules::load(&config).unwrap_err().to_string();
        assert!(error.starts_with("acl.rules: rule 1, topics: found \"b/#/c\""), "{error}");
    }

    #[test]
    fn a_file_is_read_through_a_link_and_its_errors_name_the_line() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("acl"), directory.path().join("link"));
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut config = Config::default();
        config.acl.mosquitto_file = Some(link);
        let missing = Rules::load(&config).unwrap_err().to_string();
        assert!(missing.starts_with("cannot read acl.mosquitto_file"), "{missing}");
        std::fs::write(&file, "topic a\n\nuser\n").unwrap();
        let error = Rules::load(&config).unwrap_err().to_string();
        assert!(error.contains("line 3: `user` without a name"), "{error}");
        std::fs::write(&file, "user ann\ntopic a\n").unwrap();
        let access = Rules::load(&config).unwrap().access(Subject::Client(&ann()), None);
        assert!(access.deliver("a").is_allowed() && !access.deliver("b").is_allowed());
        config.acl.mosquitto_file = Some(directory.path().to_owned());
        assert!(Rules::load(&config).unwrap_err().to_string().contains("no file"));
    }

    #[test]
    fn what_is_replaced_by_the_same_is_not_changed() {
        let current = CurrentRules::default();
        assert!(!current.replace(Rules::None) && !current.limit_anyone());
        let file = || Rules::Mosquitto(MosquittoFile::parse("topic a").unwrap());
        assert!(current.replace(file()) && current.limit_anyone());
        assert!(!current.replace(file()));
        assert_eq!((current.get().1, current.changes()), (1, 1));
        assert!(current.replace(Rules::None) && !current.limit_anyone());
        current.note_guest();
        assert!(current.limit_anyone());
    }
}
