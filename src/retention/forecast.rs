//! When each backup goes.
