//! Clauses in their order, found by topic: the first one that matches decides, without asking
//! all of them.
//!
//! The clauses are shared by all clients. Placeholders are filled while a topic is compared,
//! so a client costs a set of positions and no clauses of its own. The clauses of a client to
//! whom few apply are compared one by one: a search finds those of all clients first.

use super::applies::{Applies, ONE_BY_ONE};
use super::clause::{Clause, Effect, Question};
use super::pattern::{Compared, Names};
use super::trie::{Forced, Trie};

/// Clauses in the order in which they are asked.
#[derive(Debug, Default)]
pub(super) struct Index {
    clauses: Box<[Clause]>,
    /// `None`: there are few clauses.
    trie: Option<Trie>,
}

/// One search for the clause that decides.
pub(super) struct Search<'a> {
    pub(super) topic: &'a str,
    pub(super) names: &'a Names,
    pub(super) applies: &'a Applies,
    pub(super) question: Question,
    /// The best clause so far.
    best: Option<(usize, Effect)>,
}

impl Index {
    pub(super) fn new(clauses: Vec<Clause>) -> Self {
        let trie = (clauses.len() > ONE_BY_ONE).then(|| Trie::new(&clauses));
        Self { clauses: clauses.into(), trie }
    }

    /// With a search by topic also for few clauses.
    #[cfg(test)]
    pub(super) fn with_trie(clauses: Vec<Clause>) -> Self {
        let trie = Some(Trie::new(&clauses));
        Self { clauses: clauses.into(), trie }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clauses.is_empty()
    }

    pub(super) fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// Bytes that it takes in memory.
    pub(super) fn memory(&self) -> usize {
        let texts = self.clauses.iter().map(|clause| clause.pattern.as_str().len()).sum::<usize>();
        size_of_val(&*self.clauses) + texts + self.trie.as_ref().map_or(0, Trie::memory)
    }

    /// The first clause that decides, and what it decides.
    pub(super) fn find(
        &self,
        topic: &str,
        names: &Names,
        applies: &Applies,
        question: Question,
    ) -> Option<(&Clause, Effect)> {
        let mut search = Search { topic, names, applies, question, best: None };
        match (applies, &self.trie) {
            (Applies::Few(few), _) => {
                search.one_by_one(few.iter().map(|&at| at as usize), &self.clauses);
            }
            (_, Some(trie)) => trie.search(&mut search, &self.clauses),
            (_, None) => search.one_by_one(applies.positions(self.clauses.len()), &self.clauses),
        }
        let (at, effect) = search.best?;
        self.clauses.get(at).map(|clause| (clause, effect))
    }
}

impl Search<'_> {
    /// Considers clauses whose filters match the topic, in their order. `only_dollar`: only
    /// those whose first wildcard matches a topic that begins with `$`.
    pub(super) fn consider(
        &mut self,
        mut found: &[u32],
        clauses: &[Clause],
        only_dollar: bool,
        forced: Option<Forced>,
    ) {
        while let Some((&at, rest)) = found.split_first() {
            let at = at as usize;
            if self.best.is_some_and(|(best, _)| best <= at) {
                return;
            }
            match self.applies.next(at) {
                None => return,
                Some(next) if next > at => {
                    found = from(rest, at, next);
                    continue;
                }
                Some(_) => found = rest,
            }
            let Some(clause) = clauses.get(at) else { return };
            if let Some(effect) = self.effect_of(clause, only_dollar, forced) {
                self.best = Some((at, effect));
                return;
            }
        }
    }

    /// What a clause decides whose filter matches the topic.
    fn effect_of(
        &self,
        clause: &Clause,
        only_dollar: bool,
        forced: Option<Forced>,
    ) -> Option<Effect> {
        if !clause.concerns(self.question) {
            return None;
        }
        match forced {
            Some(Forced::Deny) => Some(Effect::Deny),
            Some(Forced::IfDenies) => (clause.effect == Effect::Deny).then_some(Effect::Deny),
            None if only_dollar && !clause.matches_dollar => None,
            None => clause.decides(self.question).then_some(clause.effect),
        }
    }

    fn one_by_one(&mut self, positions: impl Iterator<Item = usize>, clauses: &[Clause]) {
        for at in positions {
            let Some(clause) = clauses.get(at) else { return };
            let effect = match matches(clause, self.topic, self.names) {
                Matched::No => None,
                Matched::Yes => self.effect_of(clause, false, None),
                Matched::Forced(forced) => self.effect_of(clause, false, Some(forced)),
            };
            if let Some(effect) = effect {
                self.best = Some((at, effect));
                return;
            }
        }
    }
}

/// The part of a list from position `next` on. It ascends, and all of it is behind `at`, so that
/// no more can be left out than there are positions between both.
fn from(list: &[u32], at: usize, next: usize) -> &[u32] {
    let is_less = |&position: &u32| (position as usize) < next;
    let most = list.len().min(next - at - 1);
    let between = list.get(..most).unwrap_or_default();
    // Often each rule between them is for this topic.
    let are_less = between.last().is_none_or(is_less);
    let skipped = if are_less { most } else { between.partition_point(is_less) };
    list.get(skipped..).unwrap_or_default()
}

/// Whether a clause's filter matches a topic.
enum Matched {
    No,
    Yes,
    /// It could, with another name.
    Forced(Forced),
}

fn matches(clause: &Clause, topic: &str, names: &Names) -> Matched {
    let (literal, rest) = clause.pattern.split_literal();
    let Some(left) = topic.strip_prefix(literal) else { return Matched::No };
    let Some(levels) = rest.strip_prefix('/') else {
        if !rest.is_empty() {
            return levels_match(clause, rest, Some(topic), names, true);
        }
        return if left.is_empty() { Matched::Yes } else { Matched::No };
    };
    let left = match left.strip_prefix('/') {
        // It is only the beginning of a level of the topic.
        None if !left.is_empty() => return Matched::No,
        left => left,
    };
    if levels == "#" { Matched::Yes } else { levels_match(clause, levels, left, names, false) }
}

/// As [`matches`], for the levels of a filter from one on and those of the topic, if there are
/// any. `begin`: they are the first ones.
fn levels_match(
    clause: &Clause,
    levels: &str,
    mut rest: Option<&str>,
    names: &Names,
    begin: bool,
) -> Matched {
    let placeholders = clause.pattern.placeholders();
    let is_dollar = begin && rest.is_some_and(|topic| topic.starts_with('$'));
    // A wildcard that does not match this topic. A name that is unsafe denies all the same.
    let mut hidden = false;
    for (index, level) in levels.split('/').enumerate() {
        let begins = begin && index == 0;
        let is_hidden = begins && is_dollar && !clause.matches_dollar;
        hidden |= is_hidden && (level == "+" || level == "#");
        if level == "#" {
            return if hidden { Matched::No } else { Matched::Yes };
        }
        if placeholders.are_in(level) {
            match placeholders.compare(level, names, rest, begins) {
                Compared::Equal(len) => rest = after(rest, len),
                Compared::Differ => return Matched::No,
                Compared::Unsafe => return Matched::Forced(Forced::Deny),
                Compared::Unknown => return Matched::Forced(Forced::IfDenies),
            }
            continue;
        }
        let Some(left) = rest else { return Matched::No };
        let name = left.split('/').next().unwrap_or_default();
        if level != name && level != "+" {
            return Matched::No;
        }
        rest = after(rest, name.len());
    }
    if rest.is_none() && !hidden { Matched::Yes } else { Matched::No }
}

/// The levels behind the first `len` bytes; `None` if there are none.
fn after(rest: Option<&str>, len: usize) -> Option<&str> {
    rest?.get(len..)?.strip_prefix('/')
}
