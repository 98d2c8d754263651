//! What an opening of the ledger, and one transaction of it, may do.

/// What the caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// `run`, `apply`: reads and writes; makes the directory (mode 0700) and the file where there is none.
    Create,
    /// `hold`, `freeze`, `approve` and the like: reads and writes, [`Error::Missing`] where there is none.
    Existing,
    /// `plan`, `history`, `why`: reads, [`Error::Missing`] where there is none.
    ReadOnly,
}

/// What a transaction is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum TxPurpose {
    /// To read in one snapshot.
    Read,
    /// To write, on disk when it returns.
    Write,
    /// To write, on disk with the next one that must be.
    WriteSoon,
}
