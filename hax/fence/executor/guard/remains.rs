//! Processes that an agent has left behind. The guard is a subreaper: whoever loses his parent below
//! it becomes its child, whatever group or session he has.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};

use super::wire::UNKILLABLE;

/// Kills all that is below this process, and waits for its end, though not for ever; how many there
/// were.
pub(super) fn kill_all() -> u32 {
    let until = Instant::now() + UNKILLABLE;
    let mut ended = 0;
    loop {
        // Until it is waited for, the pid of a child is nobody else's.
        for child in children() {
            let _ = kill_process(child, Signal::KILL);
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => ended += 1,
                Ok(None) => break,
                Err(_) => return ended,
            }
        }
        if Instant::now() > until {
            return ended;
        }
        pause();
    }
}

/// The children of this process; it has one thread.
fn children() -> Vec<Pid> {
    let own = std::process::id();
    let file = format!("/proc/self/task/{own}/children");
    let pids = std::fs::read_to_string(file).unwrap_or_default();
    let pid = |text: &str| Pid::from_raw(text.parse().ok()?);
    pids.split_whitespace().filter_map(pid).collect()
}

/// The kernel takes a moment to end what was killed.
#[expect(
    clippy::disallowed_methods,
    reason = "the guard has one thread and no runtime"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}
