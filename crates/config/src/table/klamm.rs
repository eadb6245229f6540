//! What Klamm adds to Kafka's settings.

use crate::setting::settings;

settings! { pub(super) KLAMM:
    string "klamm.metrics.listener" = "", any, read_only, done:
        "Address, as `host:port`, where `/metrics`, `/health` and `/ready` are served over HTTP; empty serves none.";
    int "klamm.worker.threads" = "0", at_least(0), read_only, done:
        "Threads that handle connections and requests; 0 is one for each core.";
}
