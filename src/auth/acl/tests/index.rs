//! The index against asking the clauses one by one.

use proptest::prelude::*;

use super::super::applies::Applies;
use super::super::clause::{Clause, Effect, Question};
use super::super::index::Index;
use super::super::pattern::{Names, Pattern, User};
use super::topics;
use crate::protocol::{QoS, matches};

fn any_clause(mosquitto: bool) -> impl Strategy<Value = Clause> {
    let levels = ["a", "b", "ann", "", "+", "$s", "%u", "%c", "x%c", "%c-%u"];
    let level = proptest::sample::select(levels.to_vec());
    let text = (proptest::collection::vec(level, 0..4), any::<bool>()).prop_filter_map(
        "an empty filter",
        |(mut levels, rest)| {
            if rest {
                levels.push("#");
            }
            let text = levels.join("/");
            (!text.is_empty()).then_some(text)
        },
    );
    let qos = proptest::sample::select(vec![QoS::AtMostOnce, QoS::ExactlyOnce]);
    (text, any::<bool>(), 0..3_u8, qos, any::<bool>(), 0..70_usize).prop_map(
        move |(text, allows, actions, max_qos, retain, number)| Clause {
            pattern: if mosquitto {
                Pattern::of_filter(&text, number % 2 == 0)
            } else {
                Pattern::new(&text).unwrap()
            },
            effect: if allows { Effect::Allow } else { Effect::Deny },
            publish: actions != 1,
            subscribe: actions != 0,
            max_qos,
            retain,
            matches_dollar: !allows && !mosquitto,
            number,
        },
    )
}

fn any_names() -> impl Strategy<Value = Names> {
    let user = proptest::sample::select(vec![
        User::Anonymous,
        User::Unknown,
        User::Named("ann".into()),
        User::Named("a/b".into()),
        User::Named("".into()),
    ]);
    let client_id = proptest::sample::select(vec!["a", "b", "a/b", "+", "$s"]);
    (user, client_id).prop_map(|(user, client_id)| Names { user, client_id: client_id.into() })
}

/// Whether a clause's rule is among those that concern the client; `None`: all do. Numbers from
/// 64 on repeat the first ones.
fn applies_to(clause: &Clause, numbers: Option<u64>) -> bool {
    numbers.is_none_or(|numbers| numbers & (1 << (clause.number % 64)) != 0)
}

/// The clauses whose rules concern the client, in their order: the first that matches decides.
fn naive(
    clauses: &[Clause],
    topic: &str,
    names: &Names,
    numbers: Option<u64>,
    question: Question,
) -> Option<(usize, Effect)> {
    for (at, clause) in clauses.iter().enumerate() {
        let is_asked = match question {
            Question::Publish(..) => clause.publish,
            Question::Deliver => clause.subscribe,
        };
        if !is_asked || !applies_to(clause, numbers) {
            continue;
        }
        let Some((filter, effect, matches_dollar)) = clause.filled(names) else { continue };
        let is_wild = filter.starts_with(['+', '#']);
        if topic.starts_with('$') && is_wild && !matches_dollar {
            continue;
        }
        // As if the topic did not begin with `$`.
        let plain = topic.strip_prefix('$').unwrap_or(topic);
        let is_match = if topic.starts_with('$') && is_wild {
            matches(&filter, &format!("x{plain}"))
        } else {
            matches(&filter, topic)
        };
        let fits = match question {
            Question::Publish(qos, retain) if effect == Effect::Allow => {
                qos <= clause.max_qos && (clause.retain || !retain)
            }
            _ => true,
        };
        if is_match && fits {
            return Some((at, effect));
        }
    }
    None
}

fn check(clauses: &[Clause], names: &Names, numbers: Option<u64>) -> Result<(), TestCaseError> {
    let applies = Applies::new(clauses.iter().map(|clause| applies_to(clause, numbers)));
    let (trie, list) = (Index::with_trie(clauses.to_vec()), Index::new(clauses.to_vec()));
    for topic in topics(&["a", "ann", "", "$s", "xa"]).iter().filter(|topic| !topic.is_empty()) {
        for question in [
            Question::Deliver,
            Question::Publish(QoS::AtMostOnce, false),
            Question::Publish(QoS::AtLeastOnce, true),
        ] {
            let expected = naive(clauses, topic, names, numbers, question);
            for index in [&trie, &list] {
                let found = index.find(topic, names, &applies, question);
                let found = found.map(|(clause, effect)| {
                    let is = |of: &Clause| std::ptr::eq(of, clause);
                    (index.clauses().iter().position(is).unwrap(), effect)
                });
                prop_assert_eq!(found, expected, "{} {:?}", topic, question);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_search_finds_the_first_clause_that_matches(
        clauses in proptest::collection::vec(any_clause(false), 0..12),
        names in any_names(),
        numbers in proptest::option::of(any::<u64>()),
    ) {
        check(&clauses, &names, numbers)?;
    }

    #[test]
    fn a_search_finds_the_first_line_that_matches(
        clauses in proptest::collection::vec(any_clause(true), 0..12),
        names in any_names().prop_filter("decided elsewhere", |names| {
            names.user != User::Unknown && *names.client_id != *"+"
        }),
    ) {
        check(&clauses, &names, None)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn a_search_finds_the_first_clause_of_few_and_of_many_that_concern_the_client(
        clauses in proptest::collection::vec(any_clause(false), 0..80),
        names in any_names(),
        chosen in any::<(u64, u64, u64)>(),
    ) {
        let (one, two, three) = chosen;
        check(&clauses, &names, Some(one | two))?;
        check(&clauses, &names, Some(one & two & three))?;
    }
}
