//! Tables and ratios.

use std::io;
use std::path::Path;

use crate::args::{Scenario, name};
use crate::scenario::Outcome;
use crate::setup::Setup;

#[derive(Default)]
pub struct Report {
    outcomes: Vec<Outcome>,
}

impl Report {
    pub fn add(&mut self, outcome: Outcome) {
        let Outcome { scenario, setup, round, .. } = &outcome;
        let (rate, cpu) = (number(outcome.rate), number(outcome.cpu_us_per_message));
        eprintln!("{} {setup} round {round}: {rate}/s at {cpu} µs of its CPU", name(scenario));
        self.outcomes.push(outcome);
    }

    pub fn save(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(&self.outcomes)?)
    }

    pub fn print_scenario(&self, scenario: Scenario, setups: &[Setup]) {
        println!("\n## {}\n", name(&scenario));
        self.print_figures(scenario, setups);
        println!();
        self.print_failures(scenario);
        let [first, others @ ..] = setups else {
            return;
        };
        for other in others {
            self.print_ratio("messages/s", scenario, (*first, *other), |outcome| {
                Some(outcome.rate)
            });
            let cpu = |outcome: &Outcome| nonzero(outcome.cpu_us_per_message);
            self.print_ratio("broker CPU/message", scenario, (*first, *other), cpu);
            let drained = |outcome: &Outcome| Some(outcome.drain.as_ref()?.rate);
            self.print_ratio("drain", scenario, (*first, *other), drained);
        }
        println!();
    }

    fn print_figures(&self, scenario: Scenario, setups: &[Setup]) {
        println!("| median (min to max) | {} |", list(setups.iter().map(Setup::to_string), " | "));
        println!("| --- {}|", "| ---: ".repeat(setups.len()));
        for (label, figure) in FIGURES {
            let cells = setups.iter().map(|setup| cell(&self.values(scenario, *setup, figure)));
            let cells: Vec<String> = cells.collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                println!("| {label} | {} |", list(cells.into_iter(), " | "));
            }
        }
    }

    /// Prints runs that lost or reordered messages: their rates mean nothing.
    fn print_failures(&self, scenario: Scenario) {
        let runs = self.outcomes.iter().filter(|run| run.scenario == scenario);
        for run in runs.filter(|run| !run.kept_its_word()) {
            println!("**{} in round {}: {:?}**", run.setup, run.round, run.findings);
        }
    }

    fn print_ratio(&self, what: &str, scenario: Scenario, of: (Setup, Setup), figure: Figure) {
        let above = self.values(scenario, of.0, figure);
        let below = self.values(scenario, of.1, figure);
        let ratios: Vec<f64> =
            above.iter().zip(&below).map(|(above, below)| above / below).collect();
        if ratios.is_empty() {
            return;
        }
        let rounds = list(ratios.iter().map(|ratio| format!("{ratio:.2}")), ", ");
        println!("{what}, {} / {}: {:.2} ({rounds})", of.0, of.1, median(&ratios));
    }

    /// A figure of each round, in order.
    fn values(&self, scenario: Scenario, setup: Setup, figure: Figure) -> Vec<f64> {
        let runs =
            self.outcomes.iter().filter(|run| run.scenario == scenario && run.setup == setup);
        runs.filter_map(figure).collect()
    }
}

type Figure = fn(&Outcome) -> Option<f64>;

/// The figures of a run; those that a run does not have are left out.
const FIGURES: [(&str, Figure); 20] = [
    ("messages/s", |run| Some(run.rate)),
    ("acknowledged/s", |run| Some(run.acknowledged_per_second)),
    ("received/s", |run| nonzero(run.received_per_second)),
    ("acknowledged after, p50 µs", |run| nonzero(run.ack_p50_us)),
    ("acknowledged after, p99 µs", |run| nonzero(run.ack_p99_us)),
    ("delivered after, p50 µs", |run| nonzero(run.delivery_p50_us)),
    ("delivered after, p99 µs", |run| nonzero(run.delivery_p99_us)),
    ("broker CPU µs/message", |run| Some(run.cpu_us_per_message)),
    ("bytes written/message", |run| Some(run.written_bytes_per_message)),
    ("peak RSS MiB", |run| Some(run.peak_rss_mib)),
    ("generator's share of a core", |run| Some(run.generator_cpu)),
    ("cores used by others", |run| Some(run.others_cpu)),
    ("elided share", |run| run.elided),
    ("drained/s", |run| Some(run.drain.as_ref()?.rate)),
    ("drained messages", |run| Some(run.drain.as_ref()?.messages as f64)),
    ("drain delivered after s", |run| Some(run.drain.as_ref()?.delivered_seconds)),
    ("drain complete (1 is yes)", |run| Some(f64::from(u8::from(run.drain.as_ref()?.complete)))),
    ("lost", |run| Some(run.findings.lost as f64)),
    ("reordered", |run| Some(run.findings.reordered as f64)),
    ("repeated", |run| Some(run.findings.repeated as f64)),
];

fn nonzero(value: f64) -> Option<f64> {
    (value > 0.0).then_some(value)
}

fn cell(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        0 => String::new(),
        1 => number(least),
        _ => format!("{} ({} to {})", number(median(values)), number(least), number(most)),
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    f64::midpoint(lower, upper)
}

/// Large numbers with thousands separators, small ones with two decimals.
fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value < 100.0 {
        return format!("{value:.2}");
    }
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn list(items: impl Iterator<Item = String>, between: &str) -> String {
    items.collect::<Vec<_>>().join(between)
}
