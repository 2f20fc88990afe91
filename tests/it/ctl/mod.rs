//! haxctl and the scripts, against a real Consul.

mod bootstrap;
mod health_check;
mod kv_load;

use std::process::{Output, Stdio};

/// Runs haxctl to its end.
pub(crate) async fn haxctl(args: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_haxctl"));
    // The machine's own Consul is none of the tests' business.
    for name in ["ADDR", "TOKEN", "TOKEN_FILE"] {
        command.env_remove(format!("CONSUL_HTTP_{name}"));
    }
    command
        .args(args)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// Asserts the exit code, with what was printed in the message.
#[track_caller]
pub(crate) fn expect(output: &Output, code: i32) {
    assert_eq!(
        output.status.code(),
        Some(code),
        "{}\n{}",
        stdout(output),
        stderr(output)
    );
}
