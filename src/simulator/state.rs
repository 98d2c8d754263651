//! What the server and its owner share.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::agency::Issued;
use super::auth::Auth;
use super::faults::Faults;
use super::journal::Call;
use super::options::{Clock, Settings};
use super::world::World;

/// What changes while it runs.
pub(super) struct State {
    pub(super) world: World,
    pub(super) auth: Auth,
    pub(super) issued: Issued,
    pub(super) calls: Vec<Call>,
    pub(super) settings: Settings,
}

/// What the server and its owner share.
pub(super) struct Shared {
    pub(super) seed: u64,
    pub(super) clock: Clock,
    pub(super) region: String,
    pub(super) project_id: String,
    pub(super) extra_projects: Vec<(String, String)>,
    pub(super) faults: Faults,
    pub(super) state: Mutex<State>,
}

impl Shared {
    /// A panic while the lock was held leaves whole values behind: every change is one insertion or removal.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
