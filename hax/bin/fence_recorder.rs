//! The fence agent that writes request files; see `hax::fence::files::recorder`.

use std::process::ExitCode;

fn main() -> ExitCode {
    hax::fence::files::recorder::main(std::env::args_os())
}
