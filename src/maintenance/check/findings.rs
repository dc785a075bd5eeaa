//! Findings, one line each, with a limit for each kind.

use serde::Serialize;

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// No broker writes this: restore a backup.
    Damage,
    /// An end that a crash has left; a start removes it, or it does no harm.
    Leftover,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it means.
    pub severity: Severity,
    /// The rule's name, which stays the same.
    pub rule: &'static str,
    /// Which row, and what is wrong with it. May hold text from the file: escape it
    /// before a terminal sees it.
    pub detail: String,
}

/// Lines of one rule that are kept.
const OF_A_RULE: u64 = 10;

/// Collects them.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    /// How often each rule was broken.
    counts: Vec<(&'static str, u64)>,
}

impl Findings {
    pub(super) fn damage(&mut self, rule: &'static str, detail: impl Into<String>) {
        let count = match self.counts.iter_mut().find(|(name, _)| *name == rule) {
            Some((_, count)) => count,
            None => &mut self.counts.push_mut((rule, 0)).1,
        };
        *count += 1;
        if *count <= OF_A_RULE {
            let detail = detail.into();
            self.list.push(Finding { severity: Severity::Damage, rule, detail });
        }
    }

    /// Leftovers are counted by those who find them.
    pub(super) fn leftover(&mut self, rule: &'static str, count: u64, what: &str) {
        if count > 0 {
            let detail = format!("{count} {what}");
            self.list.push(Finding { severity: Severity::Leftover, rule, detail });
        }
    }

    pub(super) fn into_list(mut self) -> Vec<Finding> {
        for (rule, count) in self.counts {
            if count > OF_A_RULE {
                let detail = format!("{} more of the same", count - OF_A_RULE);
                self.list.push(Finding { severity: Severity::Damage, rule, detail });
            }
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_of_a_kind_are_eleven_lines() {
        let mut findings = Findings::default();
        (0..1_000_000).for_each(|n| findings.damage("qos", format!("row {n}")));
        findings.leftover("orphan", 0, "none");
        let list = findings.into_list();
        assert_eq!(list.len(), 11);
        assert_eq!(list[10].detail, "999990 more of the same");
    }
}
