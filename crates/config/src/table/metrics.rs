//! Metrics, telemetry and config providers.

use crate::setting::settings;

settings! { pub(super) METRICS:
    int "metrics.num.samples" = "2", at_least(1), read_only, moot:
        "Samples kept for Kafka's own metrics.";
    long "metrics.sample.window.ms" = "30000", at_least(1), read_only, moot:
        "Length of a sample of Kafka's own metrics.";
    list "metric.reporters" = "org.apache.kafka.common.metrics.JmxReporter", any, cluster_wide, moot:
        "Classes that report Kafka's own metrics; Klamm serves Prometheus on `klamm.metrics.listener`.";
    string "metrics.recording.level" = "INFO", any, read_only, moot:
        "Which of Kafka's own metrics are recorded.";
    list "kafka.metrics.reporters" = "", any, read_only, moot:
        "Classes that report Kafka's older metrics.";
    int "kafka.metrics.polling.interval.secs" = "10", at_least(1), read_only, moot:
        "How often such a class is called.";
    int "telemetry.max.bytes" = "1048576", at_least(1), read_only, later:
        "Most bytes of metrics that a client may push at a time.";
}

settings! { pub(super) OTHER:
    list "config.providers" = "", any, cluster_wide, later:
        "Names of providers that fill in values of other settings.";
}
