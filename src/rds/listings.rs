//! The lists of instances and backups, whole and believed (contract, 4.2).
//!
//! Not for when two pages agree: that is `pagination`. Not for what an entry means: that is `wire`.

use std::collections::BTreeMap;

use super::back_off::back_off;
use super::client::Client;
use super::error::Error;
use super::listed::{InstanceEntry, Listed};
use super::operation::Operation;
use super::pagination::{MOST_PAGES, Page, Reading};
use super::refusal::UNKNOWN_INSTANCE;
use super::request::ApiRequest;
use super::response::tidy;
use super::wire::{BackupPage, Entry, InstancePage, LIMIT};
use crate::retention::{Backup, BackupId, BackupKind, Engine, InstanceId, ProjectName};

/// A listing is read this often in all: once, and three times again.
const READS: u32 = 4;

impl Client {
    /// The instances that the lists of these engines name, replicas included, whatever engine they say. One that names none has the one
    /// that was asked for; one that is listed with several has an unknown one, so that nothing of it is deleted.
    pub async fn list_instances(&self, engines: &[Engine]) -> Result<Vec<InstanceEntry>, Error> {
        let mut found: BTreeMap<InstanceId, InstanceEntry> = BTreeMap::new();
        for engine in engines {
            let query = vec![("datastore_type", engine.as_str().to_owned())];
            let ask = self.ask(Operation::ListInstances, None, &["instances"], query).await?;
            for mut entry in list_all(self, ask, |body| instance_page(body, self.project())).await? {
                let of = &mut entry.instance.engine;
                if *of == Engine::parse("") {
                    of.clone_from(engine);
                }
                found
                    .entry(entry.instance.id.clone())
                    .and_modify(|before| {
                        if before.instance.engine != entry.instance.engine {
                            before.instance.engine = Engine::parse("listed with several");
                        }
                    })
                    .or_insert(entry);
            }
        }
        Ok(found.into_values().collect())
    }

    /// Whether instances may be listed: one page is asked for, and must be one.
    pub async fn may_list_instances(&self) -> Result<(), Error> {
        let query = vec![
            ("datastore_type", "SQLServer".to_owned()),
            ("offset", "0".to_owned()),
            ("limit", "1".to_owned()),
        ];
        let ask = self.ask(Operation::ListInstances, None, &["instances"], query).await?;
        self.read(&ask, |body| instance_page(body, self.project()).map(drop))
            .await
    }

    /// One instance by its id; `None` when the API says that it has none such.
    pub async fn find_instance(&self, id: &InstanceId) -> Result<Option<InstanceEntry>, Error> {
        let query = vec![("id", id.as_str().to_owned())];
        let ask = self
            .ask(Operation::ListInstances, Some(id), &["instances"], query)
            .await?;
        let place = ask.place.clone();
        let found = match list_all(self, ask, |body| instance_page(body, self.project())).await {
            Ok(found) => found,
            // Any other 404 may come from a proxy or a wrong endpoint, and must not make an instance look deleted.
            Err(Error::NotFound { said, .. }) if UNKNOWN_INSTANCE.contains(&said.code.as_str()) => return Ok(None),
            Err(error) => return Err(error),
        };
        let others = found.len();
        match found.into_iter().find(|entry| entry.instance.id == *id) {
            None if others > 0 => Err(Error::Disagreement {
                place,
                reads: 1,
                why: format!("{others} other instances were listed"),
            }),
            entry => Ok(entry),
        }
    }

    /// All manual, or all automated, backups of an instance.
    pub async fn list_backups(&self, instance: &InstanceId, kind: Listed) -> Result<Vec<Backup>, Error> {
        let kind = match kind {
            Listed::Manual => BackupKind::Manual,
            Listed::Automated => BackupKind::Auto,
        };
        let query = vec![
            ("instance_id", instance.as_str().to_owned()),
            ("backup_type", kind.as_str().to_owned()),
        ];
        let ask = self
            .ask(Operation::ListBackups, Some(instance), &["backups"], query)
            .await?;
        list_all(self, ask, |body| listed_page(body, instance, &kind)).await
    }

    /// Whether an instance still has this manual backup: one call, however many backups the instance has (API page
    /// "Obtaining Backups": `backup_id`). An answer about anything else is a disagreement, and proves nothing.
    pub async fn has_backup(&self, instance: &InstanceId, backup: &BackupId) -> Result<bool, Error> {
        let kind = BackupKind::Manual;
        let query = vec![
            ("instance_id", instance.as_str().to_owned()),
            ("backup_type", kind.as_str().to_owned()),
            ("backup_id", backup.as_str().to_owned()),
        ];
        let ask = self
            .ask(Operation::ListBackups, Some(instance), &["backups"], query)
            .await?;
        let place = ask.place.clone();
        let found = list_all(self, ask, |body| listed_page(body, instance, &kind)).await?;
        match found.as_slice() {
            [] => Ok(false),
            [one] if one.id == *backup => Ok(true),
            others => Err(Error::Disagreement {
                place,
                reads: 1,
                why: format!("{} backups were listed where {backup} was asked for", others.len()),
            }),
        }
    }

    /// Whether manual backups of an instance may be listed: one page is asked for, and must be one.
    pub async fn may_list_backups(&self, instance: &InstanceId) -> Result<(), Error> {
        let kind = BackupKind::Manual;
        let query = vec![
            ("instance_id", instance.as_str().to_owned()),
            ("backup_type", kind.as_str().to_owned()),
            ("offset", "0".to_owned()),
            ("limit", "1".to_owned()),
        ];
        let ask = self
            .ask(Operation::ListBackups, Some(instance), &["backups"], query)
            .await?;
        self.read(&ask, |body| listed_page(body, instance, &kind).map(drop))
            .await
    }

    /// The backups that a deleted instance of this engine left.
    pub async fn retained_backups(&self, instance: &InstanceId, engine: &Engine) -> Result<Vec<Backup>, Error> {
        let segments = ["instances", instance.as_str(), "retain-backups"];
        let ask = self
            .ask(Operation::ListRetainedBackups, Some(instance), &segments, Vec::new())
            .await?;
        list_all(self, ask, |body| retained_page(body, instance, engine)).await
    }
}

/// Reads a whole listing until its pages agree.
pub(super) async fn list_all<T, P>(client: &Client, ask: ApiRequest, parse: P) -> Result<Vec<T>, Error>
where
    T: PartialEq + Send,
    P: Fn(&[u8]) -> Result<Page<T>, String> + Send + Sync,
{
    let mut read = 1;
    loop {
        match whole(client, &ask, &parse).await? {
            Ok(rows) => return Ok(rows),
            Err(why) if read >= READS => {
                return Err(Error::Disagreement {
                    place: ask.place,
                    reads: read,
                    why,
                });
            }
            Err(why) => {
                tracing::debug!(place = %ask.place, why, "listing read again");
                tokio::time::sleep(back_off(client.tuning().back_off, read, None)).await;
                read += 1;
            }
        }
    }
}

/// Reads all pages once; the inner `Err` says what does not agree.
async fn whole<T, P>(client: &Client, ask: &ApiRequest, parse: &P) -> Result<Result<Vec<T>, String>, Error>
where
    T: PartialEq + Send,
    P: Fn(&[u8]) -> Result<Page<T>, String> + Send + Sync,
{
    let mut reading = Reading::default();
    while reading.pages < MOST_PAGES {
        let mut ask = ask.clone();
        ask.query
            .extend([("offset", reading.received.to_string()), ("limit", LIMIT.to_string())]);
        match reading.take(client.read(&ask, parse).await?) {
            Ok(false) => {}
            Ok(true) => return Ok(Ok(reading.rows)),
            Err(why) => return Ok(Err(why)),
        }
    }
    Ok(Err(format!("it did not end after {MOST_PAGES} pages")))
}

const NO_ID: &str = "an entry has no id";

/// A page of instances.
pub(super) fn instance_page(body: &[u8], project: &ProjectName) -> Result<Page<InstanceEntry>, String> {
    let page: InstancePage<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Page::new(page.items, &page.total, |fields| {
        let entry = fields.listed(project).ok_or(NO_ID)?;
        let id = entry.instance.id.to_string();
        match fields.invalidate() {
            Some(what) => Err(format!("the {what} of instance {} cannot be read", tidy(&id))),
            None => Ok((id, entry)),
        }
    })
}

/// A page of one type of backups of one instance; an entry of another one spoils it.
pub(super) fn listed_page(body: &[u8], instance: &InstanceId, kind: &BackupKind) -> Result<Page<Backup>, String> {
    backup_page(body, |entry| {
        let backup = entry.listed().ok_or(NO_ID)?;
        if entry.instance_id.word() != Some(instance.as_str()) {
            return Err(format!(
                "backup {} does not belong to the instance asked for",
                tidy(backup.id.as_str())
            ));
        }
        if backup.kind != *kind {
            return Err(format!(
                "backup {} is of type {:?}, not {}",
                tidy(backup.id.as_str()),
                tidy(backup.kind.as_str()),
                kind.as_str()
            ));
        }
        Ok(backup)
    })
}

/// A page of what a deleted instance left.
pub(super) fn retained_page(body: &[u8], instance: &InstanceId, engine: &Engine) -> Result<Page<Backup>, String> {
    backup_page(body, |entry| {
        let backup = entry.retained(engine).ok_or(NO_ID)?;
        // By the API reference it does not name its instance.
        if !entry.instance_id.is_blank() && entry.instance_id.word() != Some(instance.as_str()) {
            return Err(format!(
                "backup {} does not belong to the instance asked for",
                tidy(backup.id.as_str())
            ));
        }
        Ok(backup)
    })
}

fn backup_page(body: &[u8], row: impl Fn(&Entry<'_>) -> Result<Backup, String>) -> Result<Page<Backup>, String> {
    let page: BackupPage<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Page::new(page.items, &page.total, |entry| {
        let backup = row(&entry)?;
        match entry.invalidate() {
            Some(what) => Err(format!(
                "the {what} of backup {} cannot be read",
                tidy(backup.id.as_str())
            )),
            None => Ok((backup.id.to_string(), backup)),
        }
    })
}
