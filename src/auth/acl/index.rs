//! Clauses in their order, found by topic: the first one that matches decides, without asking
//! all of them.
//!
//! The clauses are shared by all clients. Placeholders are filled while a topic is compared,
//! so a client costs a set of rules and no clauses of its own.

use super::clause::{Clause, Effect, Question};
use super::pattern::{Compared, Names};
use super::trie::{Forced, Trie};

/// Clauses that are compared one by one: fewer than this take less time than a search, and
/// most rules that come with a log-in are fewer.
const ONE_BY_ONE: usize = 12;

/// The rules of a list that concern a client; `None`: all.
pub(super) type Applies = Option<Box<[u64]>>;

/// Clauses in the order in which they are asked.
#[derive(Debug, Default)]
pub(super) struct Index {
    clauses: Box<[Clause]>,
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
        match &self.trie {
            Some(trie) => trie.search(&mut search, &self.clauses),
            None => search.one_by_one(&self.clauses),
        }
        let (at, effect) = search.best?;
        self.clauses.get(at).map(|clause| (clause, effect))
    }
}

/// True if a rule concerns the client.
pub(super) fn applies_to(applies: &Applies, number: usize) -> bool {
    let Some(words) = applies else { return true };
    words.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
}

impl Search<'_> {
    /// Considers clauses whose filters match the topic, in their order. `only_dollar`: only
    /// those whose first wildcard matches a topic that begins with `$`.
    pub(super) fn consider(
        &mut self,
        found: &[u32],
        clauses: &[Clause],
        only_dollar: bool,
        forced: Option<Forced>,
    ) {
        for &at in found {
            let at = at as usize;
            if self.best.is_some_and(|(best, _)| best <= at) {
                return;
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
        if !clause.concerns(self.question) || !applies_to(self.applies, clause.number) {
            return None;
        }
        match forced {
            Some(Forced::Deny) => Some(Effect::Deny),
            Some(Forced::IfDenies) => (clause.effect == Effect::Deny).then_some(Effect::Deny),
            None if only_dollar && !clause.matches_dollar => None,
            None => clause.decides(self.question).then_some(clause.effect),
        }
    }

    fn one_by_one(&mut self, clauses: &[Clause]) {
        for (at, clause) in clauses.iter().enumerate() {
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

/// Whether a clause's filter matches a topic.
enum Matched {
    No,
    Yes,
    /// It could, with another name.
    Forced(Forced),
}

fn matches(clause: &Clause, topic: &str, names: &Names) -> Matched {
    let placeholders = clause.pattern.placeholders();
    let is_hidden = topic.starts_with('$') && !clause.matches_dollar;
    // A wildcard that does not match this topic. A name that is unsafe denies all the same.
    let mut hidden = false;
    let mut rest = Some(topic);
    for (index, level) in clause.pattern.as_str().split('/').enumerate() {
        let begins = index == 0;
        hidden |= begins && is_hidden && (level == "+" || level == "#");
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
