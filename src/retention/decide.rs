//! The decision.
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpireReason {
    /// x
    NotKept,
}
