//! Whether the broker works, and whether clients should be sent to it.

use klamm_log::LogDirectory;
use klamm_metadata::cluster::BrokerRegistration;

use crate::broker::Broker;

/// What is broken and stays so until somebody acts; nothing when the broker is healthy.
pub(super) fn health_problems(broker: &Broker) -> Vec<String> {
    let directories = broker.log_dirs().directories().iter();
    directories.filter_map(|directory| offline(directory)).collect()
}

fn offline(directory: &LogDirectory) -> Option<String> {
    let error = directory.error()?;
    Some(format!("log directory {} is offline: {error}", directory.path().display()))
}

/// Why clients are better served elsewhere now; nothing when the broker is ready.
pub(super) fn readiness_problems(broker: &Broker) -> Vec<String> {
    let image = broker.image();
    let registration = image.cluster.broker(broker.node_id());
    let is_stopping = *broker.stopping().borrow();
    let place = match broker.roles.broker {
        true => place_problem(registration.map(|registration| &**registration), broker.epoch(), is_stopping),
        false => is_stopping.then_some("the node is stopping"),
    };
    let loading = loading_problem(broker.groups().loading_count());
    [place.map(str::to_owned), loading].into_iter().flatten().collect()
}

/// What keeps the broker out of the cluster, given its registration and the epoch that it registered with.
fn place_problem(
    registration: Option<&BrokerRegistration>,
    epoch: i64,
    is_stopping: bool,
) -> Option<&'static str> {
    match registration {
        _ if is_stopping => Some("the broker is stopping"),
        Some(registration) if registration.epoch == epoch => {
            if registration.in_controlled_shutdown {
                Some("the broker is stopping")
            } else if registration.fenced {
                Some("the broker is fenced")
            } else {
                None
            }
        }
        _ => Some("the broker is not registered"),
    }
}

fn loading_problem(loading: usize) -> Option<String> {
    let what = "of __consumer_offsets are being loaded";
    (loading > 0).then(|| format!("{loading} partitions {what}"))
}

#[cfg(test)]
mod tests {
    use klamm_protocol::messages::register_broker_record::RegisterBrokerRecord;

    use super::*;

    #[test]
    fn only_a_registered_unfenced_broker_is_ready() {
        let registered = |fenced, in_controlled_shutdown| {
            let record = RegisterBrokerRecord {
                broker_id: 1,
                broker_epoch: 7,
                fenced,
                in_controlled_shutdown,
                ..RegisterBrokerRecord::default()
            };
            BrokerRegistration::from_record(&record)
        };
        let cases = [
            (None, 7, false, Some("the broker is not registered")),
            (Some(registered(false, false)), 8, false, Some("the broker is not registered")),
            (Some(registered(false, false)), -1, false, Some("the broker is not registered")),
            (Some(registered(true, false)), 7, false, Some("the broker is fenced")),
            (Some(registered(false, true)), 7, false, Some("the broker is stopping")),
            (Some(registered(false, false)), 7, true, Some("the broker is stopping")),
            (Some(registered(false, false)), 7, false, None),
        ];
        for (registration, epoch, is_stopping, expected) in cases {
            assert_eq!(place_problem(registration.as_ref(), epoch, is_stopping), expected);
        }
    }

    #[test]
    fn a_coordinator_that_loads_is_not_ready() {
        assert_eq!(loading_problem(0), None);
        assert_eq!(loading_problem(2).unwrap(), "2 partitions of __consumer_offsets are being loaded");
    }
}
