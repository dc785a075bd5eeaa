//! The command line of the binary: output and exit codes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // As inside the crate's tests.

use std::io::Write;
use std::process::{Command, Output, Stdio};

fn ferrymq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrymq"));
    command.args(args).env_remove("FERRYMQ_CONFIG");
    command
}

fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn run(args: &[&str]) -> (i32, String, String) {
    ended(&ferrymq(args).output().unwrap())
}

/// The linker finds the options by their name only: a typing error would go unnoticed.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn the_allocator_has_the_options_of_the_binary() {
    let output = ferrymq(&["--version"]).env("_RJEM_MALLOC_CONF", "stats_print:true").output();
    let (code, out, err) = ended(&output.unwrap());
    assert_eq!((code, out.as_str()), (0, concat!("ferrymq ", env!("CARGO_PKG_VERSION"), "\n")));
    for option in [
        "opt.narenas: 1\n",
        "opt.dirty_decay_ms: 500 ",
        "opt.muzzy_decay_ms: 0 ",
        "opt.background_thread: true ",
        "opt.tcache_max: 8192\n",
    ] {
        assert!(err.contains(option), "{option}{err}");
    }
}

#[test]
fn config_check_says_one_line_and_ends_with_0_or_2() {
    let (code, out, err) = run(&["config", "check"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with("configuration ok: tcp on 127.0.0.1:1883"), "{out}");
    assert_eq!(out.lines().count(), 1);

    let (code, out, err) = run(&["config", "check", "--set", "mqtt.max_topic_levels=0"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(err, "ferrymq: mqtt.max_topic_levels (--set): found 0, expected 1 to 65535\n");
}

#[test]
fn config_check_also_reads_the_password_file() {
    let (code, _, err) = run(&["config", "check", "--set", "auth.password_file=/nowhere/p"]);
    assert_eq!(code, 2);
    assert!(err.contains("cannot read the password file /nowhere/p"), "{err}");
}

#[test]
fn config_check_also_reads_the_token_file() {
    let (code, _, err) = run(&["config", "check", "--set", "http.token_file=/nowhere/t"]);
    assert_eq!(code, 2);
    assert!(err.contains("cannot read the token file /nowhere/t (http.token_file)"), "{err}");
}

/// They may be put there later, so they are no reason to refuse a configuration.
#[test]
fn config_check_warns_of_files_of_bridges_and_certificates_that_cannot_be_used() {
    let (code, out, err) = run(&[
        "config",
        "check",
        "--set",
        "bridges.up.addresses=[\"mqtts://broker.example\"]",
        "--set",
        "bridges.up.forward=[{filter=\"#\"}]",
        "--set",
        "bridges.up.username=edge",
        "--set",
        "bridges.up.password_file=/nowhere/p",
        "--set",
        "bridges.up.tls.ca_file=/nowhere/ca.pem",
        "--set",
        "listeners.secure.protocol=mqtts",
        "--set",
        "listeners.secure.bind=127.0.0.1:8883",
        "--set",
        "listeners.secure.tls.certificate_file=/nowhere/c.pem",
        "--set",
        "listeners.secure.tls.key_file=/nowhere/k.pem",
    ]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("configuration ok: "), "{out}");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 3, "{err}");
    assert!(lines.iter().all(|line| line.starts_with("ferrymq: warning: ")), "{err}");
    for file in ["/nowhere/c.pem", "bridges.up.password_file: cannot use /nowhere/p", "ca.pem"] {
        assert_eq!(lines.iter().filter(|line| line.contains(file)).count(), 1, "{file}: {err}");
    }
}

#[test]
fn config_show_prints_what_is_in_force() {
    let output = ferrymq(&["config", "show", "--json", "--set", "http.bind=off"])
        .env("FERRYMQ_MQTT__RECEIVE_MAXIMUM", "7")
        .output()
        .unwrap();
    let (code, out, _) = ended(&output);
    assert_eq!(code, 0);
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["http"]["bind"], "off");
    assert_eq!(shown["mqtt"]["receive_maximum"], 7);
    let (_, out, _) = run(&["config", "show"]);
    assert!(out.contains("[persistence]\nenabled = true\npath = \"data/ferrymq.db\""), "{out}");
}

#[test]
fn the_file_comes_from_the_flag_or_the_variable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.toml");
    std::fs::write(&path, "[runtime]\nworker_threads = 3\n").unwrap();
    let (_, out, _) = run(&["--config", path.to_str().unwrap(), "config", "show"]);
    assert!(out.contains("worker_threads = 3"), "{out}");
    let output = ferrymq(&["config", "show"]).env("FERRYMQ_CONFIG", &path).output().unwrap();
    assert!(ended(&output).1.contains("worker_threads = 3"));
    let output = ferrymq(&["config", "show"]).env("FERRYMQ_CONFIG", "").output().unwrap();
    assert_eq!(ended(&output).0, 0, "an empty variable is none");
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    assert_eq!(run(&["--no-such-flag"]).0, 2);
    assert_eq!(run(&["serve", "--config", "/nowhere/f.toml"]).0, 2);
    assert_eq!(run(&["--version"]).1, concat!("ferrymq ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn nobody_who_answers_is_not_healthy() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, _, err) = run(&["health", "--set", &format!("http.bind={free}")]);
    assert_eq!(code, 1);
    assert!(err.starts_with(&format!("ferrymq: no answer from {free}: ")), "{err}");
}

#[test]
fn a_variable_that_sets_nothing_is_told_by_check_and_start() {
    let output = ferrymq(&["config", "check"]).env("FERRYMQ_PORT", "1884").output().unwrap();
    let (code, _, err) = ended(&output);
    assert_eq!(code, 0);
    assert!(err.contains("warning: the environment variable FERRYMQ_PORT sets nothing"), "{err}");
    let output = refused_start(&[]).env("FERRYMQ_PORT", "1884").output().unwrap();
    let (_, _, err) = ended(&output);
    assert!(err.contains("FERRYMQ_PORT") && err.contains("sets nothing"), "{err}");
}

/// A start that is refused, since the database path is a directory.
fn refused_start(more: &[&str]) -> Command {
    let sets = ["listeners.tcp.bind=127.0.0.1:0", "http.bind=off", "persistence.path=/"];
    let mut command = ferrymq(&["serve"]);
    for set in sets.iter().chain(more) {
        command.args(["--set", set]);
    }
    command
}

#[test]
fn a_start_that_fails_says_why_with_logs_off() {
    let (code, out, err) = ended(&refused_start(&["telemetry.level=off"]).output().unwrap());
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.starts_with("ferrymq: / is a directory") && err.lines().count() == 1, "{err}");
    let (_, _, err) = ended(&refused_start(&[]).output().unwrap());
    assert_eq!(err.matches("is a directory").count(), 1, "once: {err}");
}

#[test]
fn a_port_in_use_ends_with_4() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("http.bind={}", taken.local_addr().unwrap());
    let off = "listeners.tcp.bind=off";
    let (code, _, err) =
        run(&["serve", "--set", &bind, "--set", off, "--set", "persistence.enabled=false"]);
    assert_eq!(code, 4);
    assert!(err.contains("HTTP cannot listen on"), "{err}");
}

#[test]
fn a_broker_that_is_asked_to_end_ends_with_0() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let http = format!("http.bind={free}");
    let sets =
        ["--set", &http, "--set", "listeners.tcp.bind=off", "--set", "persistence.enabled=false"];
    let broker = ferrymq(&sets).stderr(Stdio::piped()).spawn().unwrap();
    let patience = std::time::Duration::from_secs(1);
    let answers = || ferrymq::http::probe(free, "/healthz", patience).is_ok();
    while !answers() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let id = rustix::process::Pid::from_child(&broker);
    rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    let (code, _, err) = ended(&broker.wait_with_output().unwrap());
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("SIGTERM: shutting down"), "{err}");
}

#[test]
fn passwd_adds_changes_and_deletes() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("passwords");
    let file = file.to_str().unwrap();
    let set = |user: &str, password: &str| {
        let mut child = ferrymq(&["passwd", file, user, "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        ended(&child.wait_with_output().unwrap())
    };
    assert_eq!(set("alice", "one\n").1, format!("added alice in {file}\n"));
    assert_eq!(set("alice", "two\n").1, format!("changed the password of alice in {file}\n"));
    assert_eq!(set("bob", "\n"), (2, String::new(), "ferrymq: the password is empty\n".into()));
    assert_eq!(set("b:b", "x\n").0, 2, "a name that cannot be is misuse");
    let listed = std::fs::read_to_string(file).unwrap();
    assert!(listed.starts_with("alice:$argon2id$v=19$m=19456,t=2,p=1$"), "{listed}");
    assert_eq!(listed.lines().count(), 1);
    assert_eq!(run(&["passwd", file, "alice", "--delete"]).1, format!("deleted alice in {file}\n"));
    assert_eq!(run(&["passwd", file, "alice", "--delete"]).0, 2, "nobody of that name");
    assert_eq!(run(&["passwd"]).0, 2);
    assert_eq!(run(&["passwd", "/nowhere/p", "alice", "--delete"]).0, 1, "no such file");
}

#[test]
fn passwd_writes_scram_keys() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("scram");
    let file = file.to_str().unwrap();
    let set = |more: &[&str], password: &str| {
        let mut child =
            ferrymq(&[&["passwd", "--scram", file, "alice", "--password-stdin"], more].concat())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
        child.stdin.take().unwrap().write_all(password.as_bytes()).unwrap();
        ended(&child.wait_with_output().unwrap())
    };
    let listed = || std::fs::read_to_string(file).unwrap();
    assert_eq!(set(&[], "one\n").1, format!("added alice in {file}\n"));
    assert!(listed().starts_with("alice:SCRAM-SHA-256$32768:"), "{}", listed());
    assert_eq!(set(&["--iterations", "4096"], "two\n").0, 0);
    assert!(listed().starts_with("alice:SCRAM-SHA-256$4096:"), "{}", listed());
    assert_eq!(set(&["--iterations", "4095"], "x\n").0, 2);
    assert_eq!(set(&[], "\u{fc}\n").0, 2, "clients do not agree on such a password");
    assert_eq!(run(&["passwd", file, "alice", "--delete"]).0, 2, "no password file");
    let deleted = run(&["passwd", "--scram", file, "alice", "--delete"]);
    assert_eq!(deleted.1, format!("deleted alice in {file}\n"));
}

#[test]
fn passwd_without_a_terminal_names_the_way_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new("setsid")
        .args(["--wait", env!("CARGO_BIN_EXE_ferrymq"), "passwd"])
        .arg(dir.path().join("p"))
        .arg("alice")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (code, _, err) = ended(&output);
    assert_eq!(code, 1);
    assert!(err.contains("give it with --password-stdin") && err.lines().count() == 1, "{err}");
}

#[test]
fn output_that_cannot_be_written_is_no_success() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ferrymq"))
        .args(["config", "show"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write the output"));
}

#[test]
fn bridges_of_mosquitto_are_printed_as_configuration_and_the_rest_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("mosquitto.conf"), dir.path().join("ferrymq.toml"));
    let import = |text: &str| {
        std::fs::write(&from, text).unwrap();
        run(&["bridge", "import", from.to_str().unwrap()])
    };
    let (code, out, err) = import(
        "connection up\naddress 127.0.0.1:1884\nremote_clientid edge7\nremote_username ann\n\
         remote_password hunter2\ntopic # both 2 \"\" edge7/\nstart_type lazy\n",
    );
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("[bridges.up]\naddresses = [\"mqtt://127.0.0.1:1884\"]\n"), "{out}");
    assert_eq!(err.lines().count(), 2, "{err}");
    assert!(err.starts_with("ferrymq: line 5, `remote_password ***`: passwords are not"), "{err}");
    assert!(!format!("{out}{err}").contains("hunter2"));
    std::fs::write(&to, out).unwrap();
    let (code, _, err) = run(&["config", "check", "--config", to.to_str().unwrap()]);
    assert_eq!((code, err.as_str()), (0, ""));

    let (code, _, err) = import("connection up\naddress 127.0.0.1\nremote_clientid edge7\n");
    assert_eq!(code, 1);
    assert!(err.starts_with("ferrymq: change before use: bridges.up.forward: "), "{err}");
    let (code, out, err) = import("listener 1883\n");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("line 1, `listener 1883`: not a setting of a bridge"), "{err}");
    let (code, _, err) = run(&["bridge", "import", "/nowhere/mosquitto.conf"]);
    assert_eq!(code, 2);
    assert!(err.starts_with("ferrymq: cannot read /nowhere/mosquitto.conf: "), "{err}");
}
