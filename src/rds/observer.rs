//! What metrics learn about each request.

use std::sync::Arc;
use std::time::Duration;

use super::operation::Operation;
use crate::retention::ProjectName;

/// One request that was answered or failed.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// The project.
    pub project: &'a ProjectName,
    /// What was asked.
    pub operation: Operation,
    /// The HTTP status; `None` when there was no whole answer.
    pub status: Option<u16>,
    /// How long it took.
    pub took: Duration,
    /// Whether it was answered 429.
    pub throttled: bool,
}

/// Called after every request.
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;
