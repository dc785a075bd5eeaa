//! Rules in EMQX's shape, as the `acl` claim of a token or the answer of an authentication
//! server has them.
//!
//! Two shapes are read, both of EMQX 5:
//!
//! ```json
//! [{"permission": "allow", "action": "publish", "topic": "t/${clientid}/#", "qos": [0, 1]}]
//! {"pub": ["t/1"], "sub": ["t/#"], "all": ["t/2"]}
//! ```
//!
//! A rule that cannot be expressed here is an error and not approximated, if the approximation
//! could deny or allow what its author did not mean. Two differences remain, since a rule here
//! has a highest QoS and a leave to retain: one that allows QoS 1 allows QoS 0 as well, and one
//! that allows retained messages allows others as well.

use serde::Deserialize;
use serde_json::Value;

use super::{Effect, Pattern, Rule, Who};
use crate::protocol::{QoS, TopicError};

/// Topics in all rules of one client. They are compiled and kept for each connection; a client
/// with more needs a wildcard.
const MOST_TOPICS: usize = 1_024;

/// Why rules in EMQX's shape cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EmqxError {
    /// Neither a list nor an object of lists.
    #[error("the rules are neither a list of rules nor an object with pub, sub and all")]
    Shape,
    /// One rule is invalid.
    #[error("rule {number}: {problem}")]
    Rule {
        /// Its number in the list, from 1.
        number: usize,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A topic of an object with `pub`, `sub` and `all`.
    #[error("the list {list}: {problem}")]
    List {
        /// The member of the object.
        list: &'static str,
        /// What is wrong with it.
        problem: Problem,
    },
    /// More than 1,024 topics.
    #[error("more than {MOST_TOPICS} topics")]
    TooMany,
}

/// What is wrong with a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A member is missing, unknown, or of another type.
    #[error("expected permission, action, topic or topics, and if need be qos and retain")]
    Members,
    /// It has no topic, or both `topic` and `topics`.
    #[error("expected one of topic and topics")]
    Topics,
    /// A topic is no topic filter.
    #[error("a topic is invalid: {0}")]
    Topic(TopicError),
    /// `eq` in front of a filter with wildcards or placeholders.
    #[error("\"eq \" is only supported before topics without wildcards and placeholders")]
    Eq,
    /// `${...}` other than `${username}` and `${clientid}`.
    #[error("a placeholder is neither ${{username}} nor ${{clientid}}")]
    Placeholder,
    /// `qos` is invalid.
    #[error("qos is not 0, 1, 2 or a list of these")]
    Qos,
    /// `retain` is invalid.
    #[error("retain is not true, false or \"all\"")]
    Retain,
    /// A rule that denies only some QoS, or only retained messages.
    #[error("a rule that denies cannot have qos or retain; put them into the rule that allows")]
    PartialDeny,
}

/// One element of the list. Unknown members are errors: they could be conditions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Element {
    permission: Permission,
    action: Action,
    topic: Option<String>,
    topics: Option<Vec<String>>,
    #[serde(default)]
    qos: Value,
    #[serde(default)]
    retain: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Permission {
    Allow,
    Deny,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[serde(alias = "pub")]
    Publish,
    #[serde(alias = "sub")]
    Subscribe,
    All,
}

/// Topics by action, all of them allowed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    #[serde(default, rename = "pub")]
    publish: Vec<String>,
    #[serde(default, rename = "sub")]
    subscribe: Vec<String>,
    #[serde(default)]
    all: Vec<String>,
}

/// Reads rules in EMQX's shape. They concern every client, since they came for one.
///
/// `${username}` and `${clientid}` are placeholders, as are `%u` and `%c`.
///
/// # Errors
/// See [`EmqxError`]. Whoever sent the rules meant something that would not hold, so the client
/// is to be refused.
pub fn from_emqx(rules: &Value) -> Result<Vec<Rule>, EmqxError> {
    let rules = match rules {
        Value::Array(elements) => elements
            .iter()
            .zip(1..)
            .map(|(element, number)| {
                rule(element).map_err(|problem| EmqxError::Rule { number, problem })
            })
            .collect::<Result<Vec<_>, _>>()?,
        Value::Object(_) => of_lists(&Lists::deserialize(rules).map_err(|_| EmqxError::Shape)?)?,
        _ => return Err(EmqxError::Shape),
    };
    if rules.iter().map(|rule| rule.topics.len()).sum::<usize>() > MOST_TOPICS {
        return Err(EmqxError::TooMany);
    }
    Ok(rules)
}

fn of_lists(lists: &Lists) -> Result<Vec<Rule>, EmqxError> {
    [
        ("pub", &lists.publish, Action::Publish),
        ("sub", &lists.subscribe, Action::Subscribe),
        ("all", &lists.all, Action::All),
    ]
    .into_iter()
    .filter(|(_, topics, _)| !topics.is_empty())
    .map(|(list, topics, action)| {
        let topics = patterns(topics).map_err(|problem| EmqxError::List { list, problem })?;
        Ok(new_rule(Effect::Allow, action, topics, QoS::ExactlyOnce, true))
    })
    .collect()
}

fn rule(element: &Value) -> Result<Rule, Problem> {
    let Element { permission, action, topic, topics, qos, retain } =
        Element::deserialize(element).map_err(|_| Problem::Members)?;
    let topics = match (topic, topics) {
        (Some(topic), None) => vec![topic],
        (None, Some(topics)) if !topics.is_empty() => topics,
        _ => return Err(Problem::Topics),
    };
    let topics = patterns(&topics)?;
    let (qos, retain) = (allowed_qos(&qos)?, retained(&retain)?);
    match permission {
        Permission::Allow => {
            let max_qos = qos.into_iter().max().unwrap_or_default();
            Ok(new_rule(Effect::Allow, action, topics, max_qos, retain != Some(false)))
        }
        Permission::Deny => {
            let all = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
            if retain.is_some() || !all.iter().all(|one| qos.contains(one)) {
                return Err(Problem::PartialDeny);
            }
            Ok(new_rule(Effect::Deny, action, topics, QoS::ExactlyOnce, true))
        }
    }
}

fn new_rule(
    effect: Effect,
    action: Action,
    topics: Vec<Pattern>,
    max_qos: QoS,
    retain: bool,
) -> Rule {
    Rule {
        who: Who::default(),
        publish: matches!(action, Action::Publish | Action::All),
        subscribe: matches!(action, Action::Subscribe | Action::All),
        effect,
        topics,
        max_qos,
        retain,
    }
}

fn patterns(topics: &[String]) -> Result<Vec<Pattern>, Problem> {
    topics.iter().map(|topic| pattern(topic)).collect()
}

fn pattern(topic: &str) -> Result<Pattern, Problem> {
    let topic = match topic.strip_prefix("eq ") {
        Some(exact) if exact.contains(['+', '#', '%']) || exact.contains("${") => {
            return Err(Problem::Eq);
        }
        Some(exact) => exact.to_owned(),
        None => topic.replace("${username}", "%u").replace("${clientid}", "%c"),
    };
    if topic.contains("${") {
        return Err(Problem::Placeholder);
    }
    Pattern::new(&topic).map_err(Problem::Topic)
}

/// The QoS that a rule names; all if it names none. `"0,1"` is one of EMQX's forms.
fn allowed_qos(value: &Value) -> Result<Vec<QoS>, Problem> {
    let one = |text: &str| match text.trim() {
        "0" => Ok(QoS::AtMostOnce),
        "1" => Ok(QoS::AtLeastOnce),
        "2" => Ok(QoS::ExactlyOnce),
        _ => Err(Problem::Qos),
    };
    match value {
        Value::Null => Ok(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]),
        Value::Number(number) => Ok(vec![one(&number.to_string())?]),
        Value::String(text) => text.split(',').map(one).collect(),
        Value::Array(values) if !values.is_empty() => values
            .iter()
            .map(|value| match value {
                Value::Number(number) => one(&number.to_string()),
                Value::String(text) => one(text),
                _ => Err(Problem::Qos),
            })
            .collect(),
        _ => Err(Problem::Qos),
    }
}

/// `None`: retained messages and others.
fn retained(value: &Value) -> Result<Option<bool>, Problem> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(retain) => Ok(Some(*retain)),
        Value::Number(number) if number.as_u64() == Some(0) => Ok(Some(false)),
        Value::Number(number) if number.as_u64() == Some(1) => Ok(Some(true)),
        Value::String(text) => match text.as_str() {
            "all" => Ok(None),
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(Problem::Retain),
        },
        _ => Err(Problem::Retain),
    }
}

#[cfg(test)]
mod tests;
