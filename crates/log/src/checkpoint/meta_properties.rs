//! `meta.properties`: whose log directory this is.

use std::path::Path;

use klamm_protocol::Uuid;

use super::{property, read_text, write_text};
use crate::disk::Disk;
use crate::error::StorageError;

const META_PROPERTIES_FILE: &str = "meta.properties";

/// The identity of a log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProperties {
    /// The cluster.
    pub cluster_id: String,
    /// The node.
    pub node_id: i32,
    /// The directory itself; directories that brokers before 3.7 formatted have none.
    pub directory_id: Option<Uuid>,
}

impl MetaProperties {
    /// Reads the file in `dir`; `None` when there is none, which is a directory that was not formatted.
    pub fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<Self>, StorageError> {
        let path = dir.join(META_PROPERTIES_FILE);
        let Some(text) = read_text(disk, &path)? else { return Ok(None) };
        Self::parse(&text).map(Some).map_err(|what| StorageError::damaged("read", &path, what))
    }

    /// Writes the file into `dir`; durable on return.
    pub fn write(&self, disk: &dyn Disk, dir: &Path) -> Result<(), StorageError> {
        write_text(disk, &dir.join(META_PROPERTIES_FILE), &self.text(), true)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let get = |key| property(text, key, '=').filter(|value| !value.is_empty());
        let need = |key| get(key).ok_or_else(|| format!("{key} is missing"));
        match need("version")? {
            "0" | "1" => {}
            other => return Err(format!("version {other} is not known")),
        }
        // Version 0 is that of ZooKeeper brokers, which called the node a broker.
        let node_id = get("node.id").or(get("broker.id")).ok_or("node.id is missing")?;
        let directory_id = match get("directory.id") {
            Some(id) => Some(id.parse().map_err(|_| format!("directory.id {id} is no uuid"))?),
            None => None,
        };
        Ok(Self {
            cluster_id: need("cluster.id")?.to_owned(),
            node_id: node_id.parse().map_err(|_| format!("node.id {node_id} is no number"))?,
            directory_id,
        })
    }

    fn text(&self) -> String {
        let mut text = format!("#\nnode.id={}\n", self.node_id);
        if let Some(id) = &self.directory_id {
            text.push_str(&format!("directory.id={id}\n"));
        }
        text.push_str(&format!("version=1\ncluster.id={}\n", self.cluster_id));
        text
    }
}
