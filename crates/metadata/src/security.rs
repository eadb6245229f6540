//! SCRAM credentials, ACLs, client quotas and delegation tokens.
//!
//! They are replayed, looked up and written into snapshots as the records hold them; what they mean is for those who enforce them.

use std::fmt;
use std::sync::Arc;

use imbl::OrdMap;
use klamm_protocol::Uuid;
use klamm_protocol::messages::access_control_entry_record::AccessControlEntryRecord;
use klamm_protocol::messages::client_quota_record::{ClientQuotaRecord, EntityData};
use klamm_protocol::messages::delegation_token_record::DelegationTokenRecord;
use klamm_protocol::messages::user_scram_credential_record::UserScramCredentialRecord;

/// A user's SCRAM credential of one mechanism: 1 SCRAM-SHA-256, 2 SCRAM-SHA-512.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScramKey {
    /// The mechanism's code.
    pub mechanism: i8,
    /// The user's name.
    pub user: Arc<str>,
}

/// SCRAM credentials by mechanism and user.
#[derive(Clone, Default, PartialEq)]
pub struct ScramImage {
    pub(crate) credentials: OrdMap<ScramKey, Arc<UserScramCredentialRecord<'static>>>,
}

/// Credentials never reach a log through `{:?}`.
impl fmt::Debug for ScramImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.credentials.keys()).finish()
    }
}

impl ScramImage {
    /// A user's credential of one mechanism.
    pub fn get(&self, key: &ScramKey) -> Option<&Arc<UserScramCredentialRecord<'static>>> {
        self.credentials.get(key)
    }

    /// Every credential, by mechanism, then user.
    pub fn iter(&self) -> impl Iterator<Item = (&ScramKey, &Arc<UserScramCredentialRecord<'static>>)> + '_ {
        self.credentials.iter()
    }
}

/// Access control entries by id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AclsImage {
    pub(crate) entries: OrdMap<Uuid, Arc<AccessControlEntryRecord<'static>>>,
}

impl AclsImage {
    /// Every entry, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&Uuid, &Arc<AccessControlEntryRecord<'static>>)> + '_ {
        self.entries.iter()
    }
}

/// Whom a quota is for: entity types with a name each, none for the type's default; sorted by type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuotaEntity(pub Vec<(Arc<str>, Option<Arc<str>>)>);

impl QuotaEntity {
    /// The entity a record names.
    pub fn from_record(record: &ClientQuotaRecord<'_>) -> Self {
        let part = |data: &EntityData<'_>| {
            (data.entity_type.as_ref().into(), data.entity_name.as_deref().map(Into::into))
        };
        let mut parts: Vec<_> = record.entity.iter().map(part).collect();
        parts.sort_unstable();
        Self(parts)
    }

    /// The record that sets `key` of this entity to `value`.
    pub fn to_record(&self, key: &str, value: f64) -> ClientQuotaRecord<'static> {
        let data = |(kind, name): &(Arc<str>, Option<Arc<str>>)| EntityData {
            entity_type: kind.to_string().into(),
            entity_name: name.as_deref().map(|name| name.to_owned().into()),
        };
        let entity = self.0.iter().map(data).collect();
        ClientQuotaRecord { entity, key: key.to_owned().into(), value, remove: false }
    }
}

/// Client quotas by entity, then by quota name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientQuotasImage {
    pub(crate) entities: OrdMap<QuotaEntity, OrdMap<Arc<str>, f64>>,
}

impl ClientQuotasImage {
    /// Every entity with its quotas.
    pub fn iter(&self) -> impl Iterator<Item = (&QuotaEntity, &OrdMap<Arc<str>, f64>)> + '_ {
        self.entities.iter()
    }

    pub(crate) fn set(&mut self, entity: QuotaEntity, key: &str, value: Option<f64>) {
        let mut quotas = self.entities.get(&entity).cloned().unwrap_or_default();
        match value {
            Some(value) => _ = quotas.insert(key.into(), value),
            None => _ = quotas.remove(key),
        }
        if quotas.is_empty() {
            self.entities.remove(&entity);
        } else {
            self.entities.insert(entity, quotas);
        }
    }
}

/// Delegation tokens by token id.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DelegationTokensImage {
    pub(crate) tokens: OrdMap<Arc<str>, Arc<DelegationTokenRecord<'static>>>,
}

impl DelegationTokensImage {
    /// A token by its id.
    pub fn get(&self, token_id: &str) -> Option<&Arc<DelegationTokenRecord<'static>>> {
        self.tokens.get(token_id)
    }

    /// Every token, by id.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<DelegationTokenRecord<'static>>)> + '_ {
        self.tokens.iter()
    }
}
