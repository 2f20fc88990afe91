//! What a node does to itself when its Motr processes have been ended.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::log::Log;
use super::wire::Act;

/// The kernel's own reset.
pub(super) const SYSRQ: &str = "/proc/sysrq-trigger";

/// Between two looks.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// How long a command may take before the watchdog goes on without it.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// Does it.
pub(super) fn act(action: &Act, sysrq: &Path, log: &Log) {
    match action {
        Act::Nothing => {}
        Act::Command(words) => run_command(words, log),
        // The kernel's reset: nothing is synced, nothing is asked.
        Act::Reboot => {
            if let Err(error) = std::fs::write(sysrq, "b") {
                log.say(format!(
                    "the node cannot reset itself: {}: {error}",
                    sysrq.display()
                ));
            }
        }
    }
}

fn run_command(words: &[String], log: &Log) {
    let Some((program, arguments)) = words.split_first() else {
        return;
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let mut child = match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => return log.say(format!("{program} cannot be run: {error}")),
    };
    let end = Instant::now() + COMMAND_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return log.say(format!("{program} has ended: {status}")),
            Ok(None) if Instant::now() < end => std::thread::park_timeout(AGAIN),
            Ok(None) => {
                log.say(format!("{program} takes too long, and is killed"));
                // It may have ended by itself. It is not waited for: the kernel may not let it go.
                let _ = child.kill();
                return;
            }
            Err(error) => return log.say(format!("{program} is lost: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_run_without_a_shell() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a; b");
        let words = ["touch".to_owned(), file.display().to_string()];
        let action = Act::Command(words.to_vec());
        act(&action, Path::new(SYSRQ), &Log::start());
        assert!(file.exists());
    }

    #[test]
    fn a_reboot_is_the_kernels() {
        let directory = tempfile::tempdir().unwrap();
        let sysrq = directory.path().join("sysrq");
        act(&Act::Reboot, &sysrq, &Log::start());
        assert_eq!(std::fs::read_to_string(sysrq).unwrap(), "b");
    }
}
