//! The `slipway` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    slipway::cli::main()
}
