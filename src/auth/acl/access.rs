//! What one client may do: the rules that concern it, and its names.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::OwnRules;
use super::applies::Applies;
use super::clause::{Clause, Decision, Effect, Granted, Origin, Question};
use super::filter::Filter;
use super::index::Index;
use super::pattern::Names;
use crate::protocol::QoS;

/// What one client may do. The first rule that matches decides.
///
/// The rules are shared with all other clients; this has which of them concern the client.
#[derive(Debug, Clone)]
pub struct Access {
    names: Names,
    layers: Vec<Layer>,
    /// Those that came with the log-in, to compare.
    log_in: Option<Arc<OwnRules>>,
    /// The decision if no rule matches.
    otherwise: Decision,
}

/// Rules of one origin. The first layer that decides does.
#[derive(Debug, Clone)]
pub(super) enum Layer {
    Rules {
        index: Arc<Index>,
        applies: Applies,
        /// Makes the origin of a clause's number.
        origin: fn(usize) -> Origin,
    },
    /// Everything that is not decided by now is denied.
    Deny(Origin),
}

impl Access {
    /// No rules, or none that concerns the client: everything is allowed.
    pub(super) fn unlimited(names: Names) -> Self {
        let otherwise = Decision { effect: Effect::Allow, origin: Origin::NoRules };
        Self { names, layers: Vec::new(), log_in: None, otherwise }
    }

    /// These rules, and what is not matched is denied.
    pub(super) fn of(names: Names, layers: Vec<Layer>) -> Self {
        let otherwise = Decision { effect: Effect::Deny, origin: Origin::NoRule };
        Self { names, layers, log_in: None, otherwise }
    }

    /// With rules that came with the log-in and are asked first.
    pub(super) fn after(mut self, rules: &Arc<OwnRules>) -> Self {
        let origin = |number: usize| Origin::LogIn(number + 1);
        let index = Arc::clone(&rules.index);
        self.layers.insert(0, Layer::Rules { index, applies: Applies::All, origin });
        self.log_in = Some(Arc::clone(rules));
        self.otherwise = Decision { effect: Effect::Deny, origin: Origin::NoRule };
        self
    }

    /// True if everything is allowed, so that nobody has to ask.
    pub fn is_unlimited(&self) -> bool {
        self.layers.is_empty() && self.otherwise.is_allowed()
    }

    /// True if both certainly decide the same.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let of_log_in = |access: &Self| usize::from(access.log_in.is_some());
        let own = self.layers.iter().skip(of_log_in(self));
        let others = other.layers.iter().skip(of_log_in(other));
        self.names == other.names
            && self.otherwise == other.otherwise
            && self.log_in == other.log_in
            && self.layers.len() == other.layers.len()
            && own.zip(others).all(|(one, other)| one.is(other))
    }

    /// The number of clauses.
    pub fn len(&self) -> usize {
        self.layers.iter().map(|layer| layer.clauses().len()).sum()
    }

    /// True if it has no clause, and so nothing but a default.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes in memory besides what it shares with others.
    pub fn memory(&self) -> usize {
        let of = |layer: &Layer| match layer {
            Layer::Rules { applies, .. } => applies.memory(),
            Layer::Deny(_) => 0,
        };
        let log_in = self.layers.first().filter(|_| self.log_in.is_some());
        let own = match log_in {
            Some(Layer::Rules { index, .. }) => index.memory(),
            _ => 0,
        };
        size_of::<Self>()
            + size_of_val(&*self.layers)
            + self.layers.iter().map(of).sum::<usize>()
            + own
    }

    /// Whether a message may be published. A rule that allows less than this QoS, or no
    /// retained messages, leaves the decision to those after it.
    pub fn publish(&self, topic: &str, qos: QoS, retain: bool) -> Decision {
        self.decide(topic, Question::Publish(qos, retain))
    }

    /// Whether a message of this topic may be delivered.
    pub fn deliver(&self, topic: &str) -> Decision {
        self.decide(topic, Question::Deliver)
    }

    fn decide(&self, topic: &str, question: Question) -> Decision {
        for layer in &self.layers {
            match layer {
                Layer::Rules { index, applies, origin } => {
                    let found = index.find(topic, &self.names, applies, question);
                    if let Some((clause, effect)) = found {
                        return Decision { effect, origin: origin(clause.number) };
                    }
                }
                Layer::Deny(origin) => return Decision { effect: Effect::Deny, origin: *origin },
            }
        }
        self.otherwise
    }

    /// Whether a subscription to a filter, without `$share/GROUP/`, can deliver anything:
    /// whether a rule allows topics of the filter that no earlier rule denies.
    pub fn subscribe(&self, filter: &str) -> Granted {
        self.subscribe_counting(filter).0
    }

    /// As [`Access::subscribe`]. Also returns how many pairs of filters were compared: all rules
    /// that concern the client at least, and the square of their number if most of them deny what
    /// the others allow.
    pub fn subscribe_counting(&self, filter: &str) -> (Granted, usize) {
        let mut asked = Asked::new(Filter::of_subscription(filter));
        let granted = self.ask_all(&mut asked);
        (granted, asked.compared)
    }

    fn ask_all<'a>(&'a self, asked: &mut Asked<'a>) -> Granted {
        for layer in &self.layers {
            let over = match layer {
                Layer::Rules { index, applies, origin } => {
                    let clauses = index.clauses();
                    let mut own = applies.positions(clauses.len()).filter_map(|at| clauses.get(at));
                    own.try_for_each(|clause| {
                        asked.compared += 1;
                        if !clause.subscribe {
                            return ControlFlow::Continue(());
                        }
                        asked.take(clause, &self.names, origin(clause.number))
                    })
                }
                Layer::Deny(origin) => {
                    asked.denied.get_or_insert(*origin);
                    ControlFlow::Break(())
                }
            };
            if over.is_break() {
                return asked.granted(Origin::NoRule);
            }
        }
        if self.otherwise.is_allowed() {
            return Granted::UpTo(QoS::ExactlyOnce, self.otherwise.origin);
        }
        asked.granted(self.otherwise.origin)
    }
}

impl Layer {
    fn clauses(&self) -> &[Clause] {
        match self {
            Self::Rules { index, .. } => index.clauses(),
            Self::Deny(_) => &[],
        }
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rules { index, applies, .. }, Self::Rules { index: of, applies: to, .. }) => {
                Arc::ptr_eq(index, of) && applies == to
            }
            (Self::Deny(one), Self::Deny(two)) => one == two,
            _ => false,
        }
    }
}

/// A subscription while the rules are asked in their order.
struct Asked<'a> {
    wanted: Filter<'a>,
    /// Filters of rules that deny some of its topics, and whether they match `$`.
    denials: Vec<(Cow<'a, str>, bool)>,
    /// The first reason to deny.
    denied: Option<Origin>,
    /// The highest QoS of a rule that allows some of its topics.
    most: Option<(QoS, Origin)>,
    /// Pairs of filters that were compared.
    compared: usize,
}

impl<'a> Asked<'a> {
    fn new(wanted: Filter<'a>) -> Self {
        Self { wanted, denials: Vec::new(), denied: None, most: None, compared: 0 }
    }

    /// Breaks if the rules after this one make no difference.
    fn take(&mut self, clause: &'a Clause, names: &Names, origin: Origin) -> ControlFlow<()> {
        let Some((text, effect, matches_dollar)) = clause.filled(names) else {
            return ControlFlow::Continue(());
        };
        let filter = Filter { text: &text, matches_dollar };
        if !filter.overlaps(self.wanted) {
            return ControlFlow::Continue(());
        }
        if effect == Effect::Deny {
            self.denied.get_or_insert(origin);
            if filter.contains(self.wanted) {
                return ControlFlow::Break(());
            }
            self.denials.push((text, matches_dollar));
            return ControlFlow::Continue(());
        }
        let is_more = self.most.is_none_or(|(qos, _)| clause.max_qos > qos);
        if is_more && !self.is_denied(filter) {
            self.most = Some((clause.max_qos, origin));
            if clause.max_qos == QoS::ExactlyOnce {
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }

    /// True if one earlier rule denies all topics that `filter` has in common with what is
    /// wanted.
    fn is_denied(&mut self, filter: Filter<'_>) -> bool {
        let Some((text, matches_dollar)) = filter.intersection(self.wanted) else { return true };
        let common = Filter { text: &text, matches_dollar };
        self.denials.iter().any(|(text, dollar)| {
            self.compared += 1;
            Filter { text, matches_dollar: *dollar }.contains(common)
        })
    }

    fn granted(&self, otherwise: Origin) -> Granted {
        match self.most {
            Some((qos, origin)) => Granted::UpTo(qos, origin),
            None => Granted::Nothing(self.denied.unwrap_or(otherwise)),
        }
    }
}
