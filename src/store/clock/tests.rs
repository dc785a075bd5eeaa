//! The verdict on the clock at a start, case by case.

use super::*;

const DAY: i64 = 24 * 3600 * 1000;
/// The correct time.
const NOW: i64 = RELEASED + 100 * DAY;

fn before(clock: i64) -> Before {
    Before { clock, uptime: 50_000, boot: 7, newest: clock, ..Before::default() }
}

#[test]
fn the_release_date_is_in_the_past_and_is_the_day_that_it_is_said_to_be() {
    assert!(ClockReading::now().wall.to_sql() > RELEASED);
    assert_eq!(RELEASED % DAY, 0);
    let file = rusqlite::Connection::open_in_memory().unwrap();
    let date: String = file
        .query_row("SELECT date(?1 / 1000, 'unixepoch')", [RELEASED], |row| row.get(0))
        .unwrap();
    assert_eq!(date, "2026-11-01");
}

#[test]
fn time_that_the_broker_was_down_counts_if_the_clocks_agree() {
    let after_a_reboot = judge(&before(NOW - DAY), NOW, 10, 8);
    assert_eq!((after_a_reboot.shift, after_a_reboot.doubtful), (0, false));
    let within_a_boot = judge(&before(NOW - DAY), NOW, 50_000 + DAY, 7);
    assert_eq!(within_a_boot.shift, 0);
}

#[test]
fn a_clock_that_was_set_while_the_machine_went_on_is_known_by_the_uptime() {
    // The clock was ten days behind, the broker was down for five seconds, then the clock was
    // right.
    let judged = judge(&before(NOW - 10 * DAY), NOW, 55_000, 7);
    assert_eq!(judged.shift, 10 * DAY - 5_000);
    // The same in the other direction.
    let judged = judge(&before(NOW + 10 * DAY), NOW, 55_000, 7);
    assert_eq!((judged.shift, judged.why), (-10 * DAY - 5_000, Why::Uptime));
    // A machine that was restored from a snapshot: its uptime has decreased.
    assert_eq!(judge(&before(NOW - DAY), NOW, 10, 7).shift, 0);
}

#[test]
fn a_clock_before_the_release_or_that_was_stepped_ends_nothing() {
    let in_1970 = judge(&before(90_000), NOW, 10, 8);
    assert_eq!((in_1970.shift, in_1970.why), (NOW - 90_000, Why::Distrusted));
    let stepped = judge(&Before { stepped: true, ..before(NOW - 10 * DAY) }, NOW, 10, 8);
    assert_eq!(stepped.shift, 10 * DAY);
}

#[test]
fn a_clock_that_went_back_is_doubted_until_the_next_start() {
    let back = judge(&before(NOW), NOW - 10 * DAY, 10, 8);
    assert_eq!((back.shift, back.doubtful), (-10 * DAY, true));
    let in_1970 = judge(&before(NOW), 90_000, 10, 8);
    assert_eq!((in_1970.shift, in_1970.doubtful), (90_000 - NOW, true));
    // NTP may set a clock back by a small step.
    assert!(!judge(&before(NOW), NOW - 500, 10, 8).doubtful);
}

#[test]
fn a_file_without_a_clock_goes_by_what_is_in_it() {
    let empty = judge(&Before::default(), NOW, 10, 8);
    assert_eq!((empty.shift, empty.doubtful), (0, false));
    let first_version = Before { newest: NOW - DAY, ..Before::default() };
    assert_eq!(judge(&first_version, NOW, 10, 8).shift, 0);
    let of_1970 = Before { newest: 5_000, ..Before::default() };
    assert_eq!(judge(&of_1970, NOW, 10, 8).shift, NOW - 5_000);
}
