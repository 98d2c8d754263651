//! The projects of a configuration, each with its client.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::{Config, CredentialsSetting, Project};
use crate::rds::{self, Client, KeyLockout, Observer, Tuning, credentials};
use crate::retention::ProjectName;

/// A client for every project of a configuration.
pub struct Projects {
    clients: BTreeMap<ProjectName, Client>,
}

impl Projects {
    /// Builds the clients; nothing is sent yet.
    pub fn connect(config: &Config, keys: &KeyLockout, observer: &Observer) -> Result<Self, rds::Error> {
        let timeout = crate::clock::protocol_time(rds::Settings::TIMEOUT);
        Self::tuned(config, keys, observer, timeout, &Tuning::default())
    }

    /// As [`Self::connect`], with another time-out of one request and other back-offs: for tests of faults, which must
    /// not wait as long as a real run does.
    pub fn tuned(
        config: &Config,
        keys: &KeyLockout,
        observer: &Observer,
        timeout: Duration,
        tuning: &Tuning,
    ) -> Result<Self, rds::Error> {
        let client = |project: &Project| {
            let settings = rds::Settings {
                timeout,
                ..settings(project)
            };
            let client = Client::tuned(settings, keys.clone(), Observer::clone(observer), tuning.clone())?;
            Ok((project.name.clone(), client))
        };
        Ok(Self {
            clients: config.projects.iter().map(client).collect::<Result<_, rds::Error>>()?,
        })
    }

    /// Reads the CA certificates again for all of them: the bundle may have been renewed.
    pub fn renew_connections(&self) {
        self.clients.values().for_each(Client::renew_connections);
    }

    /// The client of a project.
    pub fn get(&self, name: &ProjectName) -> Option<&Client> {
        self.clients.get(name)
    }

    /// All clients, by name of project.
    pub fn iter(&self) -> impl Iterator<Item = (&ProjectName, &Client)> {
        self.clients.iter()
    }

    /// Fails when another name of the configuration means the same project of the cloud. Where both ids are written down,
    /// loading the configuration says so; here they were looked up. A policy on the one name would not be asked about what
    /// a policy on the other deletes.
    ///
    /// A project whose id cannot be looked up is not read either, and stops no other.
    pub(super) async fn only_name_of(&self, client: &Client) -> Result<(), rds::Error> {
        let id = client.project_id().await?;
        for (name, other) in self.iter().filter(|(name, _)| *name != client.project()) {
            if other.known_project_id().is_none() && other.region() == client.region() {
                let _ = other.project_id().await;
            }
            if other.known_project_id() == Some(&id) {
                let message = format!(
                    "`{name}` is one and the same project of the cloud: two names for one project would not keep each other's \
                     backups, so both are left alone; use one name in all policies"
                );
                return Err(rds::Error::Configuration {
                    project: client.project().clone(),
                    message,
                    source: None,
                });
            }
        }
        Ok(())
    }

    /// Requests made so far, by all of them.
    pub fn calls(&self) -> u64 {
        self.clients.values().map(Client::calls).sum()
    }
}

fn settings(project: &Project) -> rds::Settings {
    let source = match &project.credentials {
        CredentialsSetting::Chain => credentials::CredentialSource::Chain,
        CredentialsSetting::Environment => credentials::CredentialSource::Environment,
        CredentialsSetting::Profile { path, profile } => credentials::CredentialSource::Profile {
            path: path.clone(),
            profile: profile.clone(),
        },
        CredentialsSetting::Files {
            access_key_file,
            secret_key_file,
            security_token_file,
        } => credentials::CredentialSource::Files {
            access_key_file: access_key_file.clone(),
            secret_key_file: secret_key_file.clone(),
            security_token_file: security_token_file.clone(),
        },
        CredentialsSetting::EcsAgency { endpoint } => credentials::CredentialSource::EcsAgency {
            endpoint: endpoint.clone(),
        },
    };
    rds::Settings {
        project: project.name.clone(),
        region: project.region.clone(),
        project_id: project.project_id.clone(),
        endpoint: project.endpoint.clone(),
        iam_endpoint: project.iam_endpoint.clone(),
        source,
        requests_per_second: project.requests_per_second.get(),
        concurrency: usize::try_from(project.concurrency.get()).unwrap_or(usize::MAX),
        timeout: rds::Settings::TIMEOUT,
    }
}
