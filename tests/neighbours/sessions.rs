//! Clients that connect and disconnect, and clients that guess passwords.

use std::io::{self, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use super::attack::{self, Attack, connack};
use super::common::packets::{Connect, Will};
use super::common::pair;
use super::common::waits::{Span, Times};
use super::stage::{Scene, binary};

/// The same 64 clients again and again, each with a new durable session that it never resumes.
#[test]
fn reconnects() {
    come_and_go("reconnects", None);
}

/// The same with wills that are due much later.
#[test]
fn reconnects_with_delayed_wills() {
    let will = Will { payload: vec![b'w'; 10_000], qos: 0, delay: 3600, ..Will::new("will") };
    come_and_go("reconnects_delayed_wills", Some(will));
}

fn come_and_go(name: &'static str, will: Option<Will>) {
    const CLIENTS: usize = 64;
    const ROUNDS: usize = 10_000;
    const THREADS: usize = 8;
    let stage = Scene::new(name).start();
    let outcome = stage.play(|attack| {
        let login = Connect { will, ..Connect::new(5, true) };
        let (done, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let patience = Instant::now() + Duration::from_mins(1);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (login, done, failed) = (&login, &done, &failed);
                scope.spawn(move || {
                    for round in 0.. {
                        let number = thread + THREADS * (round % (CLIENTS / THREADS));
                        match attack.log_in(&format!("again-{number}"), login) {
                            Ok((_, 0)) => done.fetch_add(1, Ordering::Relaxed),
                            _ => failed.fetch_add(1, Ordering::Relaxed),
                        };
                        let enough = done.load(Ordering::Relaxed) >= ROUNDS;
                        if attack.over() && (enough || Instant::now() > patience) {
                            return;
                        }
                    }
                });
            }
        });
        attack.note(format!("{done:?} times connected, {failed:?} times not"));
        // Replaces all sessions by ones that end with their connection, so that none is left.
        for number in 0..CLIENTS {
            attack.log_in(&format!("again-{number}"), &Connect::passing(5)).ok();
        }
    });
    outcome.check();
}

const USER: &str = "alice";
const PASSWORD: &str = "the right one";
/// Reason codes of CONNACK: Server busy, and Bad user name or password.
const BUSY: u8 = 0x89;
const WRONG: u8 = 0x86;

/// Wrong passwords from one address as fast as they are answered, and the right one from
/// another address, twice a second.
#[test]
fn password_guessing() {
    const GUESSERS: usize = 16;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("passwords");
    let mut command = Command::new(binary());
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
    let scene = Scene::new("password_guessing");
    let stage = Scene { settings, neighbours, kept: 2 * 19 + scene.kept, ..scene }.start();
    let (mut log_ins, mut codes) = (Times::default(), Vec::new());
    let mut outcome = stage.play(|attack| {
        let (tried, busy) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for number in 0..GUESSERS {
                let (tried, busy) = (&tried, &busy);
                scope.spawn(move || guess(attack, number, tried, busy));
            }
            (log_ins, codes) = log_in_regularly(attack);
        });
        attack.note(format!("{tried:?} guesses answered, {busy:?} with Server busy"));
        let all = Span { from: Duration::ZERO, to: Duration::MAX };
        let waits = log_ins.within(all);
        let [p50, p99, max] = [waits.p50, waits.p99, waits.max];
        attack.note(format!("{} log-ins: {p50:.1}/{p99:.1}/{max:.1} ms", codes.len()));
    });
    let refused = codes.iter().filter(|code| **code != Some(0)).count();
    outcome.expect(refused == 0, || format!("right passwords were answered with {codes:x?}"));
    outcome.check();
}

fn guess(attack: &Attack, number: usize, tried: &AtomicUsize, busy: &AtomicUsize) {
    let mut round = 0;
    while !attack.over() {
        round += 1;
        let user = Some((USER, format!("guess {round}")));
        let packet = Connect { user, ..Connect::passing(5) }.encode(&format!("guesser-{number}"));
        let answer = elsewhere(attack).and_then(|mut stream| {
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

/// A connection from another address of this machine.
fn elsewhere(attack: &Attack) -> io::Result<TcpStream> {
    let address = |host: [u8; 4], port| SockAddr::from(std::net::SocketAddr::from((host, port)));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&address([127, 0, 0, 2], 0))?;
    socket.connect(&address([127, 0, 0, 1], attack.port))?;
    let stream = TcpStream::from(socket);
    attack.opened(&stream)?;
    Ok(stream)
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
