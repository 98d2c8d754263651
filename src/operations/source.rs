//! Where an operation takes the backups from: the cloud, or a file that another program made.

use std::sync::Arc;

use super::context::{ProcessContext, ledger_to_read};
use super::error::Error;
use crate::config::Config;
use crate::ledger::Ledger;
use crate::retention::RunReport;
use crate::run::{self, BackupsOfFile, RunRequest};

/// Where the backups come from.
#[derive(Debug)]
pub enum BackupSource {
    /// The projects of the configuration, compared with what the state knows, if there is one.
    Cloud(ProcessContext),
    /// A file: no network, credentials or state; grace counts as over.
    File(BackupsOfFile),
}

impl BackupSource {
    /// The state to read beside: a file has none.
    pub(super) fn ledger(&self, config: &Config, request: &RunRequest) -> Result<Option<Arc<Ledger>>, Error> {
        match self {
            Self::Cloud(_) => Ok(ledger_to_read(config, request.now)?.map(Arc::new)),
            Self::File(_) => Ok(None),
        }
    }

    /// Decides what is there, without writing or sending anything.
    pub(super) async fn decide(
        self,
        config: &Arc<Config>,
        request: &RunRequest,
        ledger: Option<Arc<Ledger>>,
    ) -> Result<RunReport, Error> {
        match self {
            Self::Cloud(process) => {
                let context = process.run_context(config, ledger, None)?;
                Ok(run::run(request, &context).await?)
            }
            Self::File(backups) => Ok(run::decide_file(request, config, backups)?),
        }
    }
}
