//! The HTTP port.

use std::sync::Arc;
use std::time::Duration;

use klamm_net::{Accepted, Listener};
use tokio::sync::Semaphore;

use super::exposition::CONTENT_TYPE;
use super::http::{self, Reply};
use super::{health, scrape};
use crate::broker::Broker;
use crate::environment::Place;
use crate::limits::{ACCEPT_RETRY_MS, METRICS_CONNECTIONS_MAX, METRICS_EXCHANGE_MS_MAX};

/// Serves `/metrics`, `/health` and `/ready` for ever.
pub(crate) async fn serve(broker: Arc<Broker>, mut listener: Box<dyn Listener>) {
    let places = Arc::new(Semaphore::new(METRICS_CONNECTIONS_MAX));
    while let Ok(place) = places.clone().acquire_owned().await {
        match listener.accept().await {
            Ok(accepted) => {
                let asked = broker.clone();
                broker.environment().spawn(Place::Control, move || async move {
                    let _place = place;
                    exchange(asked, accepted).await;
                });
            }
            Err(error) => {
                tracing::warn!("the metrics listener cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

async fn exchange(broker: Arc<Broker>, accepted: Accepted) {
    let peer = accepted.peer;
    let exchange = async {
        let mut stream = accepted.attach(klamm_net::SocketBuffers::default())?;
        http::serve(&mut stream, |path| reply(broker, path)).await
    };
    let limit = Duration::from_millis(METRICS_EXCHANGE_MS_MAX);
    match tokio::time::timeout(limit, exchange).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("the HTTP connection from {peer} ended: {error}"),
        Err(_) => tracing::debug!("the HTTP connection from {peer} took too long"),
    }
}

async fn reply(broker: Arc<Broker>, path: String) -> Reply {
    match path.as_str() {
        "/metrics" => {
            let scraped = broker.clone();
            match broker.environment().blocking(move || scrape::page(&scraped)).await {
                Ok(body) => Reply { status: "200 OK", content_type: CONTENT_TYPE, body },
                Err(stopped) => verdict(&[stopped.to_string()]),
            }
        }
        "/health" => verdict(&health::health_problems(&broker)),
        "/ready" => verdict(&health::readiness_problems(&broker)),
        _ => Reply::text("404 Not Found", "there are /metrics, /health and /ready\n"),
    }
}

/// Fine, or the problems a line each.
fn verdict(problems: &[String]) -> Reply {
    match problems {
        [] => Reply::text("200 OK", "ok\n"),
        problems => Reply::text("503 Service Unavailable", problems.join("\n") + "\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_make_a_service_unavailable() {
        assert_eq!(verdict(&[]), Reply::text("200 OK", "ok\n"));
        let problems = ["disk a is gone".to_owned(), "disk b is gone".to_owned()];
        let expected = Reply::text("503 Service Unavailable", "disk a is gone\ndisk b is gone\n");
        assert_eq!(verdict(&problems), expected);
    }
}
