//! Progress of long work on standard error: a line that is redrawn on a terminal, a line every
//! few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use super::human;

/// Shortest time between two redraws on a terminal.
const REDRAW: Duration = Duration::from_millis(100);
/// Shortest time between two lines in a log.
const LINE: Duration = Duration::from_secs(5);
/// Characters between the brackets of the bar.
const WIDTH: u64 = 24;

/// The unit of the progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Shown as `1.5 MiB`.
    Bytes,
    /// Shown as `1,500 messages` if the name is `messages`.
    Things(&'static str),
}

/// Shows progress until it is dropped. The drop removes the line from the terminal.
#[derive(Debug)]
pub struct Progress {
    what: String,
    unit: Unit,
    /// 0 if unknown; then only the amount done is shown.
    total: u64,
    terminal: bool,
    started: Instant,
    shown: Instant,
    drawn: bool,
}

impl Progress {
    /// Starts the clock. `what` is a word or two, such as `backup`. `total` is 0 if unknown.
    /// Nothing is shown before the work has taken 100 ms on a terminal, 5 s elsewhere.
    pub fn new(what: impl Into<String>, unit: Unit, total: u64) -> Self {
        let now = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        Self { what: what.into(), unit, total, terminal, started: now, shown: now, drawn: false }
    }

    /// Sets how much is done. Cheap enough to call at each step.
    pub fn set(&mut self, done: u64) {
        self.update(done, self.total, "");
    }

    /// As [`Self::set`], with a new total and a remark at the end of the line.
    pub fn update(&mut self, done: u64, total: u64, remark: &str) {
        self.total = total;
        let pause = if self.terminal { REDRAW } else { LINE };
        if self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let line = self.line(done, remark, self.started.elapsed());
        let mut out = std::io::stderr().lock();
        // Errors are ignored: the work goes on if standard error is closed.
        let _ = if self.terminal {
            self.drawn = true;
            // Return to the start of the line, write the text, clear the rest of the last one.
            write!(out, "\r{line}\x1b[K").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    fn line(&self, done: u64, remark: &str, elapsed: Duration) -> String {
        let mut parts = vec![format!("{}:", self.what)];
        if self.total > 0 {
            let done = done.min(self.total);
            let share = |of: u64| share(done, self.total, of);
            if self.terminal {
                let full = usize::try_from(share(WIDTH)).unwrap_or(0);
                let rest = usize::try_from(WIDTH).unwrap_or(0).saturating_sub(full);
                parts.push(format!("[{}{}]", "#".repeat(full), ".".repeat(rest)));
            }
            parts.push(format!("{}%", share(100)));
            parts.push(format!("{} of {}", self.shown(done), self.shown(self.total)));
        } else if done > 0 {
            parts.push(self.shown(done));
        }
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
        if done > 0 {
            parts.push(format!("{}/s", self.shown(share(done, millis, 1000))));
        }
        parts.push(human::seconds(millis / 1000));
        if done > 0 && self.total > done {
            let left = share(self.total - done, done, millis / 1000);
            parts.push(format!("({} left)", human::seconds(left)));
        }
        if !remark.is_empty() {
            parts.push(remark.to_owned());
        }
        parts.join(" ")
    }

    fn shown(&self, number: u64) -> String {
        match self.unit {
            Unit::Bytes => human::bytes(number),
            Unit::Things(name) => format!("{} {name}", human::count(number)),
        }
    }
}

/// `part / whole * of`, without overflow.
fn share(part: u64, whole: u64, of: u64) -> u64 {
    let share = u128::from(part) * u128::from(of) / u128::from(whole.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            let mut out = std::io::stderr().lock();
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(terminal: bool, total: u64, done: u64) -> String {
        let mut progress = Progress::new("backup", Unit::Bytes, total);
        progress.terminal = terminal;
        progress.line(done, "", Duration::from_secs(2))
    }

    #[test]
    fn a_log_gets_numbers_and_a_terminal_a_bar_as_well() {
        let numbers = "50% 4.0 MiB of 8.0 MiB 2.0 MiB/s 2 s (2 s left)";
        assert_eq!(line(false, 8 << 20, 4 << 20), format!("backup: {numbers}"));
        let bar = "[############............]";
        assert_eq!(line(true, 8 << 20, 4 << 20), format!("backup: {bar} {numbers}"));
    }

    #[test]
    fn an_unknown_total_and_the_end_are_no_trouble() {
        assert_eq!(line(true, 0, 0), "backup: 2 s");
        assert_eq!(line(true, 0, 1024), "backup: 1.0 KiB 512 B/s 2 s");
        assert_eq!(line(false, 1024, 9999), "backup: 100% 1.0 KiB of 1.0 KiB 4.9 KiB/s 2 s");
    }
}
