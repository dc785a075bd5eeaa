//! Findings, one line each, limited per rule.

use serde::Serialize;

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A broker never writes this: restore a backup.
    Damage,
    /// Left by a crash, and harmless or removed by the next start.
    Leftover,
}

/// One finding of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// The name of the rule, which is stable.
    pub rule: &'static str,
    /// The row, and what is wrong with it. May hold text from the file: escape it before
    /// printing to a terminal.
    pub detail: String,
}

/// Most findings kept per rule.
const OF_A_RULE: u64 = 10;

/// Collects findings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    /// Number of violations of each rule.
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

    /// Adds a leftover, which the caller has counted.
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
