//! Connections that do nothing.

use klamm_protocol::messages::ApiVersionsRequest;

use super::Goal::AtMost;
use super::{Figures, Metric, Scenario, Stage};
use crate::failure::Result;
use crate::process::resident_mib;
use crate::wire::Connection;

const API_VERSIONS_VERSION: i16 = 4;

pub(super) fn scenario() -> Scenario {
    Scenario {
        name: "connections".to_owned(),
        about: "resident memory with 10,000 (quick: 1,000) connections that have asked one thing each"
            .to_owned(),
        floor: None,
        is_quick: false,
        metrics: vec![Metric::new("MiB").absolute(AtMost(150.0)), Metric::new("KiB/connection")],
        rounds_max: 1,
        run: Box::new(run),
    }
}

fn run(stage: &Stage<'_>) -> Result<Figures> {
    let node = stage.fresh(&[("max.connections", "2147483647")])?;
    let before = resident_mib(node.pid())?;
    let connections = stage.scale.idle_connections;
    let open = (0..connections).map(|_| connect(&node.address())).collect::<Result<Vec<_>>>()?;
    let after = resident_mib(node.pid())?;
    drop(open);
    Ok(Figures::new([after, (after - before) * 1024.0 / connections as f64]))
}

fn connect(address: &std::net::SocketAddr) -> Result<Connection> {
    let mut connection = Connection::open(*address)?;
    let request = ApiVersionsRequest {
        client_software_name: "klamm-bench".into(),
        client_software_version: env!("CARGO_PKG_VERSION").into(),
        ..Default::default()
    };
    connection.call(&request, API_VERSIONS_VERSION)?;
    Ok(connection)
}
