//! The `slipway` binary: everything is in the library.

fn main() {}
