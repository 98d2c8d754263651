//! Layer 1: what the program says about itself, to Prometheus and to a log.
//!
//! This module makes numbers and lines from what others found: [`Metrics`] holds every metric by its one name,
//! [`openmetrics`] writes them in the newer of the two text formats, [`logging`] writes lines for people, for machines
//! and for the journal, and [`events`] the two of them that matter most. It is *not* for deciding anything, and not for
//! serving: the scrape is answered in `web`.

pub mod events;
mod known_labels;
pub mod logging;
mod metric_families;
pub mod metrics;
pub mod openmetrics;
mod queue;
mod run_metrics;
mod series;
mod textfile;

pub use events::{deletion_line, run_line};
pub use logging::{LineFormat, LogLayer};
pub use metrics::Metrics;
pub use run_metrics::LastRunSample;

#[cfg(test)]
mod logging_tests;
#[cfg(test)]
mod metrics_tests;
#[cfg(test)]
mod openmetrics_tests;
#[cfg(test)]
mod run_metrics_tests;
