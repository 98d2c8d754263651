//! x
pub mod throttle;
