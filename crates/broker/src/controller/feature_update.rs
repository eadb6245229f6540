//! UpdateFeatures: the one request that both the controller and the quorum decide. `kraft.version` is the quorum's, all else the controller's.

use klamm_controller::{Decision, FeatureUpdate, KRaftVersion};
use klamm_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use tokio::sync::oneshot;

use super::driver::{Driver, DriverError};

impl Driver {
    /// Answers once everything is committed. Without an active controller the request is dropped, which tells whoever waits for it.
    pub(super) async fn update_features(
        &mut self,
        request: &UpdateFeaturesRequest<'_>,
        respond: oneshot::Sender<UpdateFeaturesResponse<'static>>,
    ) -> Result<(), DriverError> {
        let (Some(controller), quorum) = (&self.controller, &self.parts.quorum) else { return Ok(()) };
        let check = |level| quorum.check_kraft_version(level).map_err(|error| error.to_string());
        let kraft_version = KRaftVersion { level: quorum.kraft_version(), check: &check };
        let Decision { records, response } = controller.update_features(request, &kraft_version);
        let FeatureUpdate { response, kraft_version } = response;
        if let Some(level) = kraft_version {
            let Ok(outputs) = self.parts.quorum.raise_kraft_version(level) else { return Ok(()) };
            tracing::info!("kraft.version is raised to {level}");
            self.carry_out(outputs).await?;
        }
        // Whoever asked may be gone.
        let answer = Box::new(move || drop(respond.send(response)));
        self.append(records, Some(answer))
    }
}
