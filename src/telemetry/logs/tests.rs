use std::io::Write;
use std::sync::{Arc, Mutex};

use super::*;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The text that is written while `act` logs.
fn while_logging(config: &Telemetry, act: impl FnOnce(&Logs)) -> String {
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let (subscriber, logs) = compose(config, false, move || writer.clone(), Vec::new()).unwrap();
    tracing::subscriber::with_default(subscriber, || act(&logs));
    buffer.text()
}

fn config(level: &str, format: LogFormat) -> Telemetry {
    Telemetry { level: level.to_owned(), format, ..Telemetry::default() }
}

fn logged(level: &str, format: LogFormat) -> String {
    while_logging(&config(level, format), |_| {
        tracing::info!(listener = "tcp", "listening");
        tracing::debug!("details");
    })
}

#[test]
fn text_is_one_plain_line_for_each_event_of_the_level() {
    let text = logged("info", LogFormat::Text);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("INFO") && text.ends_with("listening listener=\"tcp\"\n"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours in a file");
    assert_eq!(logged("off", LogFormat::Text), "");
    assert_eq!(logged("error,ferrymq=debug", LogFormat::Text).lines().count(), 2);
}

#[test]
fn json_is_one_object_for_each_event() {
    let text = logged("info", LogFormat::Json);
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event.get("message").unwrap(), "listening");
    assert_eq!(event.get("listener").unwrap(), "tcp");
    assert_eq!(event.get("level").unwrap(), "INFO");
}

const FORGED: &str =
    "x\n2026-01-01T00:00:00Z ERROR ferrymq: forged\r\u{1b}[2J\u{202e}\u{9b}\" y=\"";

fn forge() {
    let shown = FORGED.to_owned();
    tracing::info!(client_id = FORGED, reason = %shown, debug = ?shown, "connected {shown}");
}

#[test]
fn no_value_can_forge_a_line_of_text_or_move_a_cursor() {
    let text = while_logging(&config("info", LogFormat::Text), |_| forge());
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
    assert!(!text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains(r#"\" y=\""#), "a quote in a value is escaped: {text}");
}

#[test]
fn no_value_can_forge_a_line_of_json() {
    let text = while_logging(&config("info", LogFormat::Json), |_| forge());
    assert_eq!(text.lines().count(), 1, "{text}");
    let event: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(event.get("client_id").unwrap(), FORGED, "nothing is lost");
    assert!(!text.trim_end().chars().any(char::is_control), "{text:?}");
    assert!(!text.contains('\u{202e}'), "{text:?}");
}

#[test]
fn the_level_can_be_changed_while_it_runs() {
    let mut seen = Vec::new();
    let text = while_logging(&config("info", LogFormat::Text), |logs| {
        for level in ["debug", "off", "ferrymq=debug"] {
            logs.level.set(NewLevel::of(level).unwrap());
            tracing::debug!("at {level}");
            seen.push(logs.level.get());
        }
        let error = NewLevel::of("inof").err().unwrap();
        assert!(error.to_string().starts_with("found \"inof\", expected error, warn"), "{error}");
        assert!(!logs.level.set(NewLevel::of("ferrymq=debug").unwrap()), "it is the same");
    });
    assert_eq!(seen, ["debug", "off", "ferrymq=debug"]);
    assert!(text.contains("at debug") && text.contains("at ferrymq=debug"), "{text}");
    assert!(!text.contains("at off"), "{text}");
}

#[test]
fn a_flood_is_cut_off_and_counted_while_other_lines_pass() {
    let config = Telemetry { log_limit: 1, ..config("debug", LogFormat::Text) };
    let text = while_logging(&config, |logs| {
        for n in 0..100 {
            tracing::info!(n, "flood");
            tracing::debug!(n, "packet");
        }
        tracing::info!("something else");
        assert_eq!(logs.limit.suppressed(), 95);
        logs.limit.report();
        logs.limit.report();
    });
    let lines = |what: &str| text.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines(": flood"), 5, "{text}");
    assert_eq!(lines("packet"), 100, "what was asked for with debug is not limited");
    assert_eq!(lines("something else"), 1);
    assert_eq!(lines("95 similar lines were left out count=95 like=\"flood\""), 1, "{text}");
}

#[test]
fn lines_below_the_level_use_up_nothing_of_the_limit() {
    let config = Telemetry { log_limit: 1, ..config("warn", LogFormat::Text) };
    let text = while_logging(&config, |logs| {
        for level in ["warn", "info"] {
            logs.level.set(NewLevel::of(level).unwrap());
            for _ in 0..20 {
                tracing::info!("connected");
            }
        }
        assert_eq!(logs.limit.suppressed(), 15);
    });
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[test]
fn a_further_layer_sees_what_passes_the_gate() {
    struct Count(Arc<Mutex<usize>>);

    impl<S: Subscriber> Layer<S> for Count {
        fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            *self.0.lock().unwrap() += 1;
        }
    }

    let seen = Arc::new(Mutex::new(0));
    let layers: Vec<EventLayer> = vec![Box::new(Count(Arc::clone(&seen)))];
    let config = Telemetry { log_limit: 1, ..config("info", LogFormat::Text) };
    let (subscriber, _logs) = compose(&config, false, std::io::sink, layers).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..20 {
            tracing::info!("flood");
            tracing::debug!("details");
        }
    });
    assert_eq!(*seen.lock().unwrap(), 5);
}

#[test]
fn no_value_makes_a_line_of_the_log_long() {
    let forged = ["\u{1}".repeat(65_535), "\"".repeat(65_535), format!("{}ü", "a".repeat(65_000))];
    for format in [LogFormat::Text, LogFormat::Json] {
        for long in &forged {
            let text = while_logging(&config("info", format), |_| {
                tracing::info!(client_id = long, reason = %long, debug = ?long, "rejected {long}");
                tracing::info!(client_id = long, remote = "r", "next");
            });
            // Control characters are up to six bytes of JSON each.
            assert!(text.len() < 6 * 6 * 1024, "{} bytes", text.len());
            assert_eq!(text.lines().count(), 2);
            assert!(text.contains('…'), "says that there was more");
        }
    }
}

#[test]
fn a_value_that_was_cut_is_closed_before_the_next_field() {
    // The text is truncated after an odd or an even number of backslashes.
    for pad in 0..4 {
        let long = format!("{}{}", "a".repeat(1000 + pad), "\"".repeat(100));
        let text = while_logging(&config("info", LogFormat::Text), |_| {
            tracing::info!(client_id = long, remote = "r", "next");
        });
        let value = text.split_once("client_id=").unwrap().1;
        let (mut escaping, mut end) = (false, 0);
        for (at, c) in value.char_indices().skip(1) {
            if c == '"' && !escaping {
                end = at;
                break;
            }
            escaping = c == '\\' && !escaping;
        }
        assert_eq!(value.get(end..).unwrap(), "\"… remote=\"r\"\n", "{value}");
    }
}
