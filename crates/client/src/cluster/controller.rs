//! Requests that are for the controller: whom they are sent to, and what is done when it is another by now.

use std::sync::Arc;

use klamm_protocol::messages::DescribeClusterRequest;
use klamm_protocol::{ApiKey, ErrorCode, Request};
use parking_lot::Mutex;

use super::any::ALONE;
use super::{Cluster, Metadata, Topics};
use crate::clock::now_ms;
use crate::connection::Connection;
use crate::error::{ConnectError, RequestError};

/// What DescribeCluster calls the nodes behind the controllers' listeners (KIP-919).
pub(crate) const CONTROLLER_ENDPOINTS: i8 = 2;

impl Cluster {
    /// Sends a request to the node that metadata names as controller. In a KRaft cluster that is the active controller
    /// where controllers are asked, and else a broker that passes it on. `code` is what the response says as a whole.
    pub(crate) async fn call_controller<R: Request>(
        &self,
        request: &R,
        code: impl Fn(&R::Response<'static>) -> ErrorCode,
    ) -> Result<R::Response<'static>, RequestError> {
        // Whoever failed us is not asked again before somebody else has named it anew.
        let is_in_doubt = Mutex::new(false);
        self.retrying(self.api_deadline(), RequestError::is_retriable, || async {
            if std::mem::take(&mut *is_in_doubt.lock()) {
                self.refresh(Topics::None, false).await?;
            }
            let result = self.ask_controller(request, &code).await;
            *is_in_doubt.lock() = result.is_err();
            result
        })
        .await
    }

    /// Sends a request to any broker, or to the active controller where controllers are asked.
    pub(crate) async fn call_broker_or_controller<R: Request>(
        &self,
        request: &R,
        code: impl Fn(&R::Response<'static>) -> ErrorCode,
    ) -> Result<R::Response<'static>, RequestError> {
        match self.config().asks_controllers() {
            true => self.call_controller(request, code).await,
            false => self.call_any(request).await,
        }
    }

    async fn ask_controller<R: Request>(
        &self,
        request: &R,
        code: impl Fn(&R::Response<'static>) -> ErrorCode,
    ) -> Result<R::Response<'static>, RequestError> {
        let connection = self.controller().await?;
        let response = connection.call(request).await?;
        let broker = || connection.broker().clone();
        match code(&response) {
            code @ (ErrorCode::NOT_CONTROLLER | ErrorCode::NOT_LEADER_OR_FOLLOWER) => {
                Err(RequestError::Refused { broker: broker(), api: R::KEY, code })
            }
            _ => Ok(response),
        }
    }

    async fn controller(&self) -> Result<Connection, RequestError> {
        if self.metadata().generation == 0 {
            self.refresh(Topics::None, false).await?;
        }
        let metadata = self.metadata();
        match metadata.controller.filter(|id| metadata.brokers.contains_key(id)) {
            Some(id) if self.config().asks_controllers() => Ok(self.broker(id).await?),
            // Brokers pass it on, so one that hangs need not be waited for.
            Some(id) => match tokio::time::timeout(ALONE, self.broker(id)).await {
                Ok(connected) => Ok(connected?),
                Err(_) => Ok(self.any_broker().await?),
            },
            None if self.config().asks_controllers() => Err(ConnectError::NoController.into()),
            None => Ok(self.any_broker().await?),
        }
    }

    pub(super) async fn fetch_controllers(
        &self,
        connection: &Connection,
    ) -> Result<Arc<Metadata>, RequestError> {
        let request = DescribeClusterRequest {
            endpoint_type: CONTROLLER_ENDPOINTS,
            ..DescribeClusterRequest::default()
        };
        let response = connection.call(&request).await?;
        if response.error_code.is_error() {
            let (broker, code) = (connection.broker().clone(), response.error_code);
            return Err(RequestError::Refused { broker, api: ApiKey::DescribeCluster, code });
        }
        let next = Arc::new(self.metadata().of_controllers(&response, now_ms()));
        self.metadata.store(Arc::clone(&next));
        Ok(next)
    }
}
