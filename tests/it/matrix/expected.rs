//! How a cell may end, as a reader of the contract expects it.

use super::cells::{At, Cell, Often};

/// What a read makes of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Harmless,
    /// Tried again; when it lasts, the API cannot be reached.
    Retried,
    /// Read again from the first page; when it lasts, the listing is not believed.
    Disagrees,
    /// Not tried again.
    Refused,
    Forbidden,
    Unauthorised,
    /// The clock cannot be checked by this answer.
    Date,
}

/// What a reader of the contract expects of a read.
pub(super) fn class(at: At, fault: &str) -> Class {
    let listing = !matches!(at, At::ListProjects);
    match fault {
        "status=401" => Class::Unauthorised,
        _ if fault.starts_with("status=403") => Class::Forbidden,
        "status=307" | "status=404" | "status=409" | "status=413" => Class::Refused,
        _ if fault.starts_with("status=400") => Class::Refused,
        // The same entry twice is what pages show that shift; all ids are there.
        "delay=50ms" | "drip=1ms" | "huge=1000000" | "shuffle" | "duplicate" => Class::Harmless,
        _ if fault.starts_with("date=") => {
            if listing {
                Class::Date
            } else {
                Class::Harmless
            }
        }
        // IAM's list of projects has no count; with one project missing or more than one the id is not known.
        "missing=1" | "extra" if !listing => Class::Refused,
        "count=-1" | "count=1" | "no_count" | "shift=1" | "shift=-1" | "foreign_instance" | "foreign_type"
            if !listing =>
        {
            Class::Harmless
        }
        // Instances have neither the one nor the other.
        "foreign_instance" | "foreign_type" if at == At::ListInstances => Class::Harmless,
        "missing=1" | "extra" | "foreign_instance" | "foreign_type" | "count=-1" | "count=1" | "no_count"
        | "shift=1" | "shift=-1" => Class::Disagrees,
        _ => Class::Retried,
    }
}

/// How much is gone after the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    All,
    Nothing,
    Some,
}

/// The acceptable ends of a cell: exit code and what is gone. `Some` stands for any amount.
pub(super) fn expected(cell: Cell) -> Vec<(u8, Gone)> {
    let Cell { at, fault, often } = cell;
    let once = often == Often::Once;
    let good = vec![(0, Gone::All)];
    let class = class(at, fault);
    match at {
        // None, or several of the name: `project_id` is to be written down.
        At::ListProjects if ["missing=1", "extra"].contains(&fault) => vec![(78, Gone::Nothing)],
        // The worst date of any answer of a run counts; what IAM says is no answer of the API.
        At::ListInstances if class == Class::Date => vec![(3, Gone::Nothing)],
        At::ListInstances | At::ListProjects => match class {
            Class::Harmless | Class::Date => good,
            Class::Retried | Class::Disagrees | Class::Unauthorised if once => good,
            // The short budget of these cells ends before the waits do.
            Class::Retried if fault.starts_with("status=429") => vec![(1, Gone::Nothing), (69, Gone::Nothing)],
            Class::Retried | Class::Disagrees | Class::Refused => vec![(69, Gone::Nothing)],
            Class::Forbidden | Class::Unauthorised => vec![(77, Gone::Nothing)],
        },
        At::ListBackups => match class {
            Class::Harmless => good,
            Class::Retried | Class::Disagrees | Class::Unauthorised if once => good,
            Class::Date => vec![(3, Gone::Nothing)],
            Class::Refused if once => vec![(1, Gone::Some)],
            Class::Forbidden if once => vec![(77, Gone::Some)],
            // Only one of the two instances has more than one page.
            Class::Disagrees if fault.starts_with("shift") => vec![(1, Gone::Some)],
            Class::Retried | Class::Disagrees | Class::Refused => vec![(1, Gone::Nothing)],
            Class::Forbidden | Class::Unauthorised => vec![(77, Gone::Nothing)],
        },
        At::ListAutomated => match class {
            Class::Harmless => good,
            Class::Retried | Class::Disagrees | Class::Unauthorised if once => good,
            Class::Date => vec![(3, Gone::Nothing)],
            Class::Retried | Class::Disagrees | Class::Refused => vec![(1, Gone::Some)],
            Class::Forbidden | Class::Unauthorised => vec![(77, Gone::Some)],
        },
        // The batch is done, only the proof is missing.
        At::ListAgain => match (class, once) {
            (Class::Harmless | Class::Date, _) | (_, true) => good,
            (Class::Unauthorised, false) => vec![(1, Gone::All), (77, Gone::All)],
            // Two batches are under way, the second may be answered after the first was listed again.
            (Class::Disagrees, false) if fault.starts_with("shift") => vec![(1, Gone::Some)],
            (_, false) => vec![(1, Gone::All)],
        },
        At::FindInstance | At::ListRetained | At::ListByOldId => expected_of_deleted(cell),
        At::Delete => expected_of_deletion(fault, once),
        // A token that is no token is refused by the service.
        At::MetadataToken if fault.starts_with("body=") => vec![(77, Gone::Nothing)],
        At::MetadataToken => good,
        // Keys need no more than 64 KiB, and who sends more is not heard to the end.
        At::SecurityKey if fault.starts_with("huge") => vec![(77, Gone::Nothing)],
        At::SecurityKey => match class {
            Class::Harmless | Class::Date | Class::Disagrees => good,
            // It is a read like any other; only where nothing comes in time it is not asked again at once.
            Class::Retried if once && !fault.starts_with("delay") && !fault.starts_with("drip") => good,
            // The keys are asked for again with the next request.
            _ if once => vec![(0, Gone::All), (77, Gone::Nothing)],
            _ => vec![(77, Gone::Nothing)],
        },
        At::Everything => match class {
            Class::Date => vec![(3, Gone::Nothing)],
            _ => unreachable!("only dates strike everywhere"),
        },
    }
}

/// Only the deleted instance is left alone; the living ones are none of its business.
fn expected_of_deleted(Cell { at, fault, often }: Cell) -> Vec<(u8, Gone)> {
    let once = often == Often::Once;
    let good = vec![(0, Gone::All)];
    match class(At::ListBackups, fault) {
        // It is an answer with nothing in it, so there is nothing to miss or to take for another's, and it is short.
        _ if at == At::FindInstance
            && ["missing=1", "foreign_instance", "foreign_type", "drip=900ms"].contains(&fault) =>
        {
            good
        }
        // This status with this code says that there is none such, and there is none.
        Class::Refused if at == At::FindInstance && fault == "status=404" => good,
        // The old id is not known any more; which databases they hold, nobody has seen, so they are kept.
        Class::Refused if at == At::ListByOldId && fault == "status=404" => vec![(0, Gone::Some)],
        // One of its backups looks automated, which are none of ours.
        Class::Disagrees if at == At::ListRetained && fault == "foreign_type" => vec![(0, Gone::Some)],
        // All fit on one page.
        Class::Disagrees if fault.starts_with("shift") => good,
        Class::Harmless => good,
        Class::Retried | Class::Disagrees | Class::Unauthorised if once => good,
        Class::Date => vec![(3, Gone::Nothing)],
        Class::Retried | Class::Disagrees | Class::Refused => vec![(1, Gone::Some)],
        Class::Forbidden | Class::Unauthorised => vec![(77, Gone::Some)],
    }
}

fn expected_of_deletion(fault: &str, once: bool) -> Vec<(u8, Gone)> {
    let good = vec![(0, Gone::All)];
    match fault {
        "ignore" => vec![(0, Gone::Nothing)],
        "result=DBS.200054" => vec![(1, Gone::Nothing)],
        _ if fault.starts_with("status=403") => vec![(77, Gone::Nothing)],
        "status=401" if !once => vec![(77, Gone::Nothing)],
        // Whether the work is done when the client has gone is the server's affair.
        "delay=60s" if !once => vec![(1, Gone::Nothing), (0, Gone::All)],
        "reset" => {
            if once {
                good
            } else {
                vec![(1, Gone::Nothing)]
            }
        }
        _ if fault.starts_with("status=") && !fault.ends_with(":done") && !once => vec![(1, Gone::Nothing)],
        _ => good,
    }
}
