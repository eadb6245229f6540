//! Registration of the quorum's own nodes (KIP-919, KIP-1312).

use klamm_metadata::MetadataRecord;
use klamm_protocol::ErrorCode;
use klamm_protocol::messages::controller_registration_request::{Feature, Listener};
use klamm_protocol::messages::register_controller_record::{ControllerEndpoint, ControllerFeature};
use klamm_protocol::messages::{
    ControllerRegistrationRequest, ControllerRegistrationResponse, RegisterControllerRecord,
    UnregisterControllerRecord, UnregisterControllerRequest, UnregisterControllerResponse,
};

use crate::refusal::{Refusal, error_fields_or_empty};
use crate::state::{Controller, Decision};

impl Controller {
    /// Registers a controller node, anew at each of its starts.
    pub fn register_controller(
        &self,
        request: &ControllerRegistrationRequest<'_>,
    ) -> Decision<ControllerRegistrationResponse<'static>> {
        let supported = self.image.metadata_version().supports_controller_registration();
        let result = self.required(supported, "controller registration");
        let (error_code, error_message) = error_fields_or_empty(&result);
        let record = MetadataRecord::RegisterController(RegisterControllerRecord {
            controller_id: request.controller_id,
            incarnation_id: request.incarnation_id,
            zk_migration_ready: false,
            end_points: request.listeners.iter().map(endpoint).collect(),
            features: request.features.iter().map(feature).collect(),
        });
        let response = ControllerRegistrationResponse { error_code, error_message, ..Default::default() };
        Decision::new(result.map(|()| vec![record]).unwrap_or_default(), response)
    }

    /// Removes a controller's registration.
    pub fn unregister_controller(
        &self,
        request: &UnregisterControllerRequest,
    ) -> Decision<UnregisterControllerResponse<'static>> {
        let result = self.check_unregistration(request.controller_id);
        let (error_code, error_message) = error_fields_or_empty(&result);
        let record = UnregisterControllerRecord { controller_id: request.controller_id };
        let response = UnregisterControllerResponse { error_code, error_message, ..Default::default() };
        let records = result.map(|()| vec![MetadataRecord::UnregisterController(record)]);
        Decision::new(records.unwrap_or_default(), response)
    }

    fn check_unregistration(&self, id: i32) -> Result<(), Refusal> {
        let supported = self.image.metadata_version().supports_controller_unregistration();
        self.required(supported, "controller unregistration")?;
        match self.image.cluster.controller(id) {
            Some(_) => Ok(()),
            None => {
                let message = format!("controller {id} is not registered");
                Err(Refusal::new(ErrorCode::CONTROLLER_ID_NOT_REGISTERED, message))
            }
        }
    }

    /// Refuses what the cluster's metadata.version does not have yet.
    pub(crate) fn required(&self, supported: bool, what: &str) -> Result<(), Refusal> {
        if supported {
            return Ok(());
        }
        let message = format!("metadata.version {} does not support {what}", self.image.metadata_version());
        Err(Refusal::new(ErrorCode::UNSUPPORTED_VERSION, message))
    }
}

fn endpoint(listener: &Listener<'_>) -> ControllerEndpoint<'static> {
    ControllerEndpoint {
        name: listener.name.to_string().into(),
        host: listener.host.to_string().into(),
        port: listener.port,
        security_protocol: listener.security_protocol,
    }
}

fn feature(feature: &Feature<'_>) -> ControllerFeature<'static> {
    ControllerFeature {
        name: feature.name.to_string().into(),
        min_supported_version: feature.min_supported_version,
        max_supported_version: feature.max_supported_version,
    }
}
