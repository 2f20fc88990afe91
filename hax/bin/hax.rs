//! The bridge of one node.

use std::process::ExitCode;

fn main() -> ExitCode {
    hax::cli::main()
}
