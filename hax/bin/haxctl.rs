//! The control tool; see `hax::ctl`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hax::ctl::main(std::env::args_os())
}
