//! Clients that guess passwords, while others log in.

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::attack::{self, Attack, connack, is_answered};
use super::common::broker;
use super::common::packets::Connect;
use super::common::pair;
use super::common::waits::{Span, Times};
use super::stage::{Scene, Stage};

const USER: &str = "alice";
const PASSWORD: &str = "the right one";
/// Reason codes of CONNACK: Server busy, and Bad user name or password.
const BUSY: u8 = 0x89;
const WRONG: u8 = 0x86;

/// A broker with a password file, where anonymous clients are let in as well.
fn with_passwords(name: &'static str, directory: &Path) -> Stage {
    let file = directory.join("passwords");
    let mut command = Command::new(broker::binary());
    command.arg("passwd").arg("--password-stdin").arg(&file).arg(USER);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{PASSWORD}").unwrap();
    assert!(child.wait().unwrap().success());

    let file = file.to_str().unwrap();
    let settings =
        &[("FERRYMQ_AUTH__PASSWORD_FILE", file), ("FERRYMQ_AUTH__ALLOW_ANONYMOUS", "true")];
    let neighbours = &[pair::QOS0];
    // The working memory of two verifications (19 MiB each, OWASP's recommendation for argon2id)
    // is kept for the next ones.
    let scene = Scene::new(name);
    Scene { settings, neighbours, kept: 2 * 19 + scene.kept, ..scene }.start()
}

/// Plays `flood`, beside which the right password is sent from another address, twice a second.
/// It returns how many guesses were answered.
fn beside_log_ins(stage: Stage, flood: impl FnOnce(&Attack) -> usize + Send) {
    let (mut log_ins, mut codes, mut answered) = (Times::default(), Vec::new(), 0);
    let mut outcome = stage.play(|attack| {
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| flood(attack));
            (log_ins, codes) = log_in_regularly(attack);
            answered = flood.join().unwrap();
        });
        let all = Span { from: Duration::ZERO, to: Duration::MAX };
        let waits = log_ins.within(all);
        let [p50, p99, max] = [waits.p50, waits.p99, waits.max];
        attack.note(format!("{} log-ins: {p50:.1}/{p99:.1}/{max:.1} ms", codes.len()));
    });
    let refused = codes.iter().filter(|code| **code != Some(0)).count();
    outcome.expect(refused == 0, || format!("right passwords were answered with {codes:x?}"));
    outcome.expect(answered > 0, || "no guess was answered: it was no flood".into());
    outcome.check();
}

/// Wrong passwords from one address as fast as they are answered.
#[test]
fn password_guessing() {
    const GUESSERS: usize = 16;
    let directory = tempfile::tempdir().unwrap();
    beside_log_ins(with_passwords("password_guessing", directory.path()), |attack| {
        let (tried, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for number in 0..GUESSERS {
                let (tried, busy) = (&tried, &busy);
                scope.spawn(move || guess(attack, number, tried, busy));
            }
        });
        attack.note(format!("{tried:?} guesses answered, {busy:?} with Server busy"));
        tried.into_inner()
    });
}

/// Wrong passwords from several addresses at a fixed rate, which is more than can be verified.
#[test]
fn password_flood() {
    const EVERY: Duration = Duration::from_millis(5);
    let directory = tempfile::tempdir().unwrap();
    beside_log_ins(with_passwords("password_flood", directory.path()), |attack| {
        attack::make_way();
        let (mut open, mut failed) = (VecDeque::new(), 0);
        attack.each(EVERY, |number| {
            let user = Some((USER, format!("guess {number}")));
            let packet = Connect { user, ..Connect::passing(5) }.encode(&format!("guess-{number}"));
            let guessed = attack.dial_from(number).and_then(|mut stream| {
                attack.write(&mut stream, &packet)?;
                Ok(stream)
            });
            match guessed {
                Ok(stream) => open.push_back(stream),
                Err(_) => failed += 1,
            }
            // They wait for their answer, but not for ever.
            if open.len() > 1_000 {
                open.pop_front();
            }
        });
        let answered = open.iter().filter(|stream| is_answered(stream)).count();
        attack.note(format!("{failed} connections were refused, {answered} guesses answered"));
        answered
    });
}

fn guess(attack: &Attack, number: usize, tried: &AtomicUsize, busy: &AtomicUsize) {
    let mut round = 0;
    while !attack.over() {
        round += 1;
        let user = Some((USER, format!("guess {round}")));
        let packet = Connect { user, ..Connect::passing(5) }.encode(&format!("guesser-{number}"));
        let answer = attack.dial_from(0).and_then(|mut stream| {
            attack.write(&mut stream, &packet)?;
            connack(&mut stream)
        });
        match answer {
            Ok(WRONG) => {}
            Ok(BUSY) => {
                busy.fetch_add(1, Ordering::Relaxed);
            }
            // Refused in another way, such as a connection that is closed at once.
            _ => continue,
        }
        tried.fetch_add(1, Ordering::Relaxed);
    }
}

/// Logs in regularly. Returns how long each attempt took, and its code if it was answered.
fn log_in_regularly(attack: &Attack) -> (Times, Vec<Option<u8>>) {
    const EVERY: Duration = Duration::from_millis(500);
    let (clock, mut times, mut codes) = (Instant::now(), Times::default(), Vec::new());
    let login = Connect { user: Some((USER, PASSWORD.into())), ..Connect::passing(5) };
    while !attack.over() {
        let asked = clock.elapsed();
        let packet = login.encode("alice");
        let answer = TcpStream::connect(("127.0.0.1", attack.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(attack::PATIENCE))?;
            stream.write_all(&packet)?;
            connack(&mut stream)
        });
        let took = clock.elapsed().saturating_sub(asked);
        times.push(asked, took);
        codes.push(answer.ok());
        std::thread::sleep(EVERY.saturating_sub(took));
    }
    (times, codes)
}
