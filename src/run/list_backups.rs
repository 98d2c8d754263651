//! The backups of one instance, whether it is still there or deleted: what a run decides on and confirms by.

use std::collections::HashMap;

use crate::rds::{self, Client, Listed};
use crate::retention::{Backup, BackupId, BackupKind, Databases, Instance, InstanceLife};

/// What was last seen of the databases of an instance's backups.
pub(super) type SeenDatabases = HashMap<BackupId, Databases>;

/// Lists the manual backups of an instance.
pub(super) async fn backups_of(
    client: &Client,
    instance: &Instance,
    seen: &SeenDatabases,
) -> Result<Vec<Backup>, rds::Error> {
    match instance.life {
        InstanceLife::Listed => client.list_backups(&instance.id, Listed::Manual).await,
        InstanceLife::Deleted { .. } => left_behind(client, instance, seen).await,
    }
}

/// What a deleted instance left.
///
/// Only backups that the API itself lists as retained of a deleted instance are taken. The listing by the old id, where
/// it still answers, only says more about them: an instance that is merely not visible (a narrower grant, the recycle
/// bin) answers there too, or not at all, and proves nothing.
async fn left_behind(client: &Client, instance: &Instance, seen: &SeenDatabases) -> Result<Vec<Backup>, rds::Error> {
    let mut retained = client.retained_backups(&instance.id, &instance.engine).await?;
    retained.retain(|backup| backup.kind == BackupKind::Manual);
    if retained.is_empty() {
        return Ok(retained);
    }
    let by_old_id = match client.list_backups(&instance.id, Listed::Manual).await {
        Ok(backups) => backups,
        Err(error) if error.class() == rds::Class::NotFound => Vec::new(),
        Err(error) => return Err(error),
    };
    let mut known: HashMap<BackupId, Backup> = by_old_id
        .into_iter()
        .map(|backup| (backup.id.clone(), backup))
        .collect();
    for backup in &mut retained {
        if let Some(full) = known.remove(&backup.id) {
            *backup = full;
        } else if backup.databases == Databases::Unknown
            && let Some(databases) = seen.get(&backup.id)
        {
            backup.databases = databases.clone();
        }
    }
    Ok(retained)
}
