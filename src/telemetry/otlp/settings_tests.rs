use super::*;
use crate::config::Span;

fn settings(config: &Telemetry, variables: &[(&str, &str)]) -> Settings {
    try_settings(config, variables).unwrap()
}

fn try_settings(config: &Telemetry, variables: &[(&str, &str)]) -> Result<Settings, PushError> {
    let read = |name: &str| {
        let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
        Some((*value).to_owned()).filter(|value| !value.is_empty())
    };
    Settings::new(config, &read)
}

fn endpoints(settings: &Settings) -> [Option<&str>; 3] {
    [&settings.metrics, &settings.logs, &settings.traces]
        .map(|target| target.as_ref().map(|target| target.endpoint.as_str()))
}

fn to(endpoint: &str) -> Telemetry {
    Telemetry { otlp_endpoint: endpoint.to_owned(), ..Telemetry::default() }
}

const OURS: &str = "http://ours:4317";
const THEIRS: &str = "http://theirs:4317";

#[test]
fn nothing_is_pushed_without_an_endpoint() {
    let settings = settings(&Telemetry::default(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]);
    assert_eq!(endpoints(&settings), [None; 3]);
    assert_eq!(settings.interval, Duration::from_mins(1));
}

#[test]
fn our_own_key_wins_over_the_variables() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", THEIRS),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", THEIRS),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ];
    assert_eq!(endpoints(&settings(&to(OURS), &variables)), [Some(OURS); 3]);
}

#[test]
fn a_signals_own_variable_wins_over_that_of_all() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", THEIRS),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "https://logs"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
    ];
    let settings = settings(&Telemetry::default(), &variables);
    assert_eq!(endpoints(&settings), [Some(THEIRS), Some("https://logs"), Some(THEIRS)]);
    assert_eq!(settings.logs.unwrap().authority, Some("ca.pem".into()));
}

#[test]
fn each_signal_can_be_turned_off() {
    let config = Telemetry { otlp_metrics: false, ..to(OURS) };
    let variables = [("OTEL_LOGS_EXPORTER", "none"), ("OTEL_TRACES_EXPORTER", "console, otlp")];
    assert_eq!(endpoints(&settings(&config, &variables)), [None, None, Some(OURS)]);
    let all_off = settings(&to(OURS), &[("OTEL_SDK_DISABLED", "true")]);
    assert_eq!(endpoints(&all_off), [None; 3]);
}

#[test]
fn a_protocol_that_is_not_spoken_is_told_once_and_keeps_nobody_from_starting() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://theirs:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
    ];
    let settings = settings(&Telemetry::default(), &variables);
    assert_eq!(endpoints(&settings), [None; 3]);
    let [note] = &settings.notes[..] else { panic!("{:?}", settings.notes) };
    assert!(note.starts_with("OTEL_EXPORTER_OTLP_PROTOCOL: found \"http/protobuf\""), "{note}");
}

#[test]
fn an_endpoint_that_is_none_is_refused_under_its_name() {
    let variables = [("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4317")];
    let error = try_settings(&Telemetry::default(), &variables).unwrap_err().to_string();
    let begin = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: found \"collector:4317\", expected an address";
    assert!(error.starts_with(begin), "{error}");
}

#[test]
fn the_interval_of_the_variable_counts_where_ours_is_not_set() {
    let variables = [("OTEL_METRIC_EXPORT_INTERVAL", "1500")];
    let interval = |config| settings(&config, &variables).interval;
    assert_eq!(interval(Telemetry::default()), Duration::from_millis(1500));
    let ours = Telemetry { otlp_interval: Span::seconds(5), ..Telemetry::default() };
    assert_eq!(interval(ours), Duration::from_secs(5));
}
