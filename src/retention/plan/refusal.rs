//! Why the guard lets something not pass.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};

use crate::retention::{FreezeSources, Freezes, InstanceId, ProjectName};

/// How the local clock compares with an API's `Date` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockCheck {
    /// The API's clock less ours; positive when we are behind.
    Skew(TimeDelta),
    /// No answer carried a `Date` that could be read.
    NoDate,
}

impl ClockCheck {
    /// More than this apart, nothing is sent.
    pub const LIMIT: TimeDelta = TimeDelta::minutes(5);

    /// Whether a deletion may be decided by this clock.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Skew(skew) if skew.abs() <= Self::LIMIT)
    }
}

impl fmt::Display for ClockCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Skew(skew) => write!(
                f,
                "the API's clock is {} s away from ours, more than {}: nothing is sent; set the clock",
                skew.num_seconds(),
                Self::LIMIT.num_seconds()
            ),
            Self::NoDate => f.write_str(
                "the API's answers carry no readable Date header, so our clock cannot be checked: nothing is sent",
            ),
        }
    }
}

/// Why the guard let something not pass. A verdict, not an error.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// More deletions than `max_deletions`: the whole plan.
    MaxDeletions {
        /// Deletions that were not approved.
        planned: usize,
        /// The limit.
        limit: usize,
    },
    /// More than `max_percent` of an instance: that instance.
    MaxPercent {
        /// The instance.
        instance: InstanceId,
        /// Deletions there that were not approved.
        planned: usize,
        /// Of so many.
        of: usize,
        /// The limit.
        percent: u8,
    },
    /// No recent recovery point: that instance.
    RequireBackupWithin {
        /// The instance.
        instance: InstanceId,
        /// Its newest recovery point.
        newest: Option<DateTime<Utc>>,
        /// The span asked for, as written.
        within: String,
    },
    /// The clocks differ, or the API gave no time: that project.
    Clock {
        /// The project.
        project: ProjectName,
        /// What was found.
        check: ClockCheck,
    },
    /// Everything is frozen: the whole plan.
    Freeze {
        /// Why.
        reason: String,
        /// Until when.
        until: Option<DateTime<Utc>>,
        /// What ends it.
        sources: FreezeSources,
    },
    /// A listing that fell by more than half: that instance, or the whole project where none is named.
    Shrink {
        /// The project.
        project: ProjectName,
        /// The instance; `None` when the list of instances itself shrank.
        instance: Option<InstanceId>,
        /// The last believed count, less what this program deleted.
        expected: u64,
        /// What was found.
        found: u64,
    },
    /// The state that this process knew is gone, replaced or set back: everything.
    Ledger {
        /// What happened to it, and what to do.
        message: String,
    },
    /// Daemons on one state have different configurations: everything.
    Members {
        /// Which, and what to do.
        message: String,
    },
}

impl Refusal {
    /// By the freezes in force.
    pub fn of_freezes(Freezes { longest, sources }: Freezes) -> Self {
        Self::Freeze {
            reason: longest.reason,
            until: longest.until,
            sources,
        }
    }

    /// The limit's name in reports and metrics.
    pub fn limit(&self) -> &'static str {
        match self {
            Self::MaxDeletions { .. } => "max_deletions",
            Self::MaxPercent { .. } => "max_percent",
            Self::RequireBackupWithin { .. } => "require_backup_within",
            Self::Clock { .. } => "clock",
            Self::Freeze { .. } => "freeze",
            Self::Shrink { .. } => "shrink",
            Self::Ledger { .. } => "ledger",
            Self::Members { .. } => "members",
        }
    }

    /// Every name [`Self::limit`] can give, and `listing`: the closed set of the metric's label.
    pub const LIMITS: [&'static str; 9] = [
        "max_deletions",
        "max_percent",
        "clock",
        "listing",
        "shrink",
        "freeze",
        "require_backup_within",
        "ledger",
        "members",
    ];

    /// Reports name the gravest first (the lowest number): what stops a whole plan before what stops a project, and that
    /// before what stops an instance.
    pub fn gravity(&self) -> u8 {
        match self {
            Self::Freeze { .. } | Self::Ledger { .. } | Self::Members { .. } => 0,
            Self::MaxDeletions { .. } => 1,
            Self::Clock { .. } => 2,
            Self::Shrink { instance: None, .. } => 3,
            Self::Shrink { .. } | Self::MaxPercent { .. } | Self::RequireBackupWithin { .. } => 4,
        }
    }

    /// Whether `approve POLICY` lifts it.
    pub fn waits_for_approval(&self) -> bool {
        matches!(self, Self::MaxDeletions { .. } | Self::MaxPercent { .. })
    }

    /// The instance it is about, when it is about one.
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::MaxPercent { instance, .. } | Self::RequireBackupWithin { instance, .. } => Some(instance),
            Self::Shrink { instance, .. } => instance.as_ref(),
            Self::MaxDeletions { .. }
            | Self::Clock { .. }
            | Self::Freeze { .. }
            | Self::Ledger { .. }
            | Self::Members { .. } => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxDeletions { planned, limit } => write!(
                f,
                "{planned} deletions are more than max_deletions {limit}: nothing of this policy is sent; look at the plan, \
                 then `approve` it or set over_limit: oldest-first"
            ),
            Self::MaxPercent {
                instance,
                planned,
                of,
                percent,
            } => write!(
                f,
                "instance {instance}: {planned} of {of} backups are more than max_percent {percent}: the instance is left \
                 alone; look at the plan, then `approve` it"
            ),
            Self::RequireBackupWithin {
                instance,
                newest,
                within,
            } => write!(
                f,
                "instance {instance}: no finished full backup, manual or automated, within {within} (newest: {}): the \
                 instance is left alone until one is made",
                newest.map_or_else(|| "none".to_owned(), timestamp)
            ),
            Self::Clock { project, check } => write!(f, "project {project}: {check}"),
            Self::Freeze { reason, until, .. } => {
                let until = until.map_or_else(|| "it is ended".to_owned(), timestamp);
                write!(f, "frozen ({reason}) until {until}: nothing is sent")
            }
            Self::Ledger { message } | Self::Members { message } => f.write_str(message),
            Self::Shrink {
                project,
                instance,
                expected,
                found,
            } => {
                let (what, whose) = match instance {
                    Some(instance) => (format!("instance {instance}"), "manual backups"),
                    None => (format!("project {project}"), "instances"),
                };
                write!(
                    f,
                    "{what}: the listing fell from {expected} to {found} {whose}: it is left alone for 7 days, or until \
                     `approve --listing`"
                )
            }
        }
    }
}

fn timestamp(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}
