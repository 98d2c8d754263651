//! What a client needs to know about one project.

use std::time::Duration;

use url::Url;

use super::credentials::CredentialSource;
use crate::retention::ProjectName;

/// One project, as the configuration describes it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its name in policies, metrics and reports.
    pub project: ProjectName,
    /// The region; also the name by which IAM is asked for the project id.
    pub region: String,
    /// The cloud's project id; looked up when `None`.
    pub project_id: Option<String>,
    /// The RDS endpoint.
    pub endpoint: Url,
    /// The IAM endpoint.
    pub iam_endpoint: Url,
    /// Where the credentials come from.
    pub source: CredentialSource,
    /// Ceiling of the pace.
    pub requests_per_second: u32,
    /// Requests under way at once.
    pub concurrency: usize,
    /// Time-out of one request, answer included (20 s in the contract).
    pub timeout: Duration,
}

impl Settings {
    /// The contract's time-out of one request.
    pub const TIMEOUT: Duration = Duration::from_secs(20);
}
