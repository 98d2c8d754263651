//! Tests through the library's public face and the built binary.

mod cli_render;
