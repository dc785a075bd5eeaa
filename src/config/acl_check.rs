//! Checks `[acl]`, except the topics of its rules and the file, which `auth::rules` reads.

use super::validate::{Checked, Problem};
use super::{Acl, AclEffect, AclRule, Config};

pub(super) fn check(config: &Config) -> Checked {
    let acl = &config.acl;
    if !acl.rules.is_empty() && acl.mosquitto_file.is_some() {
        return Err(Problem {
            key: "acl.mosquitto_file".to_owned(),
            text: "acl.rules is set as well: keep one of them".to_owned(),
        });
    }
    for (number, rule) in (1..).zip(&acl.rules) {
        check_rule(rule, acl, config).map_err(|(key, text)| Problem {
            key: "acl.rules".to_owned(),
            text: format!("rule {number}, {key}: {text}"),
        })?;
    }
    Ok(())
}

/// The key of the rule that is wrong, and why.
fn check_rule(rule: &AclRule, acl: &Acl, config: &Config) -> Result<(), (&'static str, String)> {
    if rule.topics.is_empty() {
        return Err(("topics", "found none, expected topic filters such as [\"#\"]".to_owned()));
    }
    if rule.max_qos > 2 {
        return Err(("max_qos", format!("found {}, expected 0 to 2", rule.max_qos)));
    }
    // It would say that more than this is not denied.
    if rule.effect == AclEffect::Deny && (rule.max_qos < 2 || !rule.retain) {
        let key = if rule.retain { "max_qos" } else { "retain" };
        return Err((key, "it limits what a rule allows, and this one denies".to_owned()));
    }
    for group in &rule.groups {
        if !acl.groups.contains_key(group) {
            return Err(("groups", format!("found \"{group}\", which [acl.groups] does not have")));
        }
    }
    for listener in &rule.listeners {
        if !config.listeners.contains_key(listener) {
            return Err(("listeners", format!("there is no listener \"{listener}\"")));
        }
    }
    let names = [
        ("users", &rule.users),
        ("client_ids", &rule.client_ids),
        ("certificates", &rule.certificates),
    ];
    for (key, names) in names {
        if names.iter().any(String::is_empty) {
            return Err((key, "found \"\", expected a name".to_owned()));
        }
    }
    rule.parsed_networks().map(drop).map_err(|network| {
        let expected = "expected an address or a network such as 10.0.0.0/8";
        ("networks", format!("found \"{network}\", {expected}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    fn problem(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ferrymq.toml");
        std::fs::write(&file, text).unwrap();
        let sources = Sources { file: Some(file), ..Sources::default() };
        Config::load(&sources).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn an_error_names_the_rule_and_the_key() {
        let good = "[[acl.rules]]\neffect = \"allow\"\ntopics = [\"a\"]\n";
        for (rule, expected) in [
            ("effect = \"allow\"\ntopics = []", "rule 2, topics: found none"),
            ("effect = \"allow\"\ntopics = [\"a\"]\nmax_qos = 3", "rule 2, max_qos: found 3"),
            ("effect = \"deny\"\ntopics = [\"a\"]\nmax_qos = 1", "rule 2, max_qos: it limits"),
            ("effect = \"deny\"\ntopics = [\"a\"]\nretain = false", "rule 2, retain: it limits"),
            (
                "effect = \"deny\"\ntopics = [\"a\"]\ngroups = [\"x\"]",
                "rule 2, groups: found \"x\"",
            ),
            (
                "effect = \"deny\"\ntopics = [\"a\"]\nlisteners = [\"x\"]",
                "rule 2, listeners: there",
            ),
            ("effect = \"deny\"\ntopics = [\"a\"]\nusers = [\"\"]", "rule 2, users: found \"\""),
            (
                "effect = \"deny\"\ntopics = [\"a\"]\nnetworks = [\"10.0.0.0/33\"]",
                "rule 2, networks: found \"10.0.0.0/33\"",
            ),
        ] {
            let found = problem(&format!("{good}[[acl.rules]]\n{rule}\n"));
            assert!(found.contains("acl.rules") && found.contains(expected), "{found}");
        }
        let all = "networks = [\"10.0.0.0/8\", \"::1\"]\ngroups = [\"g\"]\nlisteners = [\"tcp\"]";
        assert_eq!(problem(&format!("{good}{all}\n[acl.groups]\ng = [\"ann\"]\n")), "");
    }

    #[test]
    fn rules_and_a_file_together_are_an_error() {
        let text =
            "[acl]\nmosquitto_file = \"x\"\n[[acl.rules]]\neffect = \"allow\"\ntopics = [\"a\"]";
        assert!(problem(text).starts_with("acl.mosquitto_file"), "{}", problem(text));
    }
}
