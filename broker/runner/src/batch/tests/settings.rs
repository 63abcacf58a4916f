use super::*;

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let refused = |settings: Settings| settings.check().unwrap_err().to_string();
    assert_eq!(Settings::default().check(), Ok(()));
    assert_eq!(
        refused(Settings { batch_size: 10_001, ..Settings::default() }),
        "batchSize is 10001: it may be 1 to 10000"
    );
    assert_eq!(
        refused(Settings { batching_window_ms: 300_001, ..Settings::default() }),
        "batchingWindow is 300001: it may be 0 to 300000 ms"
    );
    assert_eq!(
        refused(Settings { tumbling_window_ms: Some(1_500), ..Settings::default() }),
        "tumblingWindow is 500: it may be 1 to 900 s, in whole seconds"
    );
    assert_eq!(
        refused(Settings {
            tumbling_window_ms: Some(60_000),
            parallelization_factor: 2,
            ..Settings::default()
        }),
        "tumblingWindow and parallelizationFactor 2 can't be combined: set the factor to 1"
    );
    assert!(Settings { parallelization_factor: 100, ..Settings::default() }.check().is_ok());
}
