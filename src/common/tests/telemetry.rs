//! Logging is set up once per process, so this test is alone in its own.

use tnv_common::telemetry::{self, LogConfig, LogFormat, TelemetryError};

#[test]
fn events_and_panics_reach_the_file_before_the_guard_is_gone() {
    tracing::error!("before the start this goes nowhere");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/x.log");
    let config = LogConfig {
        level: "info,quiet=off".into(),
        format: LogFormat::Json,
        file: Some(path.clone()),
        ..LogConfig::default()
    };
    let guard = telemetry::init(&config).unwrap();
    assert!(matches!(telemetry::init(&config), Err(TelemetryError::AlreadySet)));

    tracing::info!(bytes = 7, "stored");
    tracing::debug!("below the level");
    tracing::error!(target: "quiet", "switched off");
    let panicked = std::thread::Builder::new().name("worker".into()).spawn(|| panic!("out of luck")).unwrap();
    assert!(panicked.join().is_err());
    assert_eq!(guard.dropped_lines(), 0);
    drop(guard);

    let log = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    let holds = |line: &str, parts: &[&str]| parts.iter().all(|part| line.contains(part));
    let stored = [r#""level":"INFO""#, r#""message":"stored""#, r#""bytes":7"#, r#""target":"telemetry""#];
    assert!(holds(lines[0], &stored), "{log}");
    let panic = [r#""level":"ERROR""#, "panic: out of luck", r#""thread":"worker""#, "tests/telemetry.rs:"];
    assert!(holds(lines[1], &panic), "{log}");
}
