//! The processes that the watchdog process has to end, each held by a pidfd of its own.

use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use rustix::io::Errno;

use crate::death::{Identified, PidFd, Proc};

/// Processes that are held at most: as many as the death watch follows.
const MAX: usize = 4_096;

/// What is held.
#[derive(Debug, Default)]
pub(super) struct Held(BTreeMap<Identified, PidFd>);

/// What came of looking for a process.
enum Opened {
    Holds(PidFd),
    /// That process has ended; its pid may be another's by now.
    Ended,
}

impl Held {
    /// Holds these as well. Returns those that it cannot hold, though they may be alive. Those that are
    /// held and have ended are let go.
    pub(super) fn add(&mut self, proc: &Proc, known: &[Identified]) -> Vec<String> {
        self.0.retain(|_, fd| may_live(fd));
        let mut missing = Vec::new();
        for known in known {
            if self.0.contains_key(known) {
                continue;
            }
            let opened = match self.0.len() < MAX {
                true => open(proc, known),
                false => Err(io::Error::other(format!("{MAX} processes are held"))),
            };
            match opened {
                Ok(Opened::Holds(fd)) => _ = self.0.insert(*known, fd),
                Ok(Opened::Ended) => {}
                Err(error) => {
                    missing.push(format!("{} (pid {}): {error}", known.process, known.pid))
                }
            }
        }
        missing
    }

    /// Whether any of them may be alive.
    pub(super) fn is_alive(&self) -> bool {
        self.0.values().any(may_live)
    }

    /// Sends SIGKILL to all, waits for them until `end`, and says of each what came of it. Those that are
    /// known to have ended are let go; returns whether none is left.
    pub(super) fn kill(&mut self, end: Instant, mut say: impl FnMut(String)) -> bool {
        let refused: Vec<_> = self.0.values().map(|fd| fd.kill().err()).collect();
        let mut refused = refused.into_iter();
        self.0.retain(|known, fd| {
            let Identified { pid, process, .. } = known;
            let refused = refused.next().flatten();
            let refused =
                refused.filter(|error| error.raw_os_error() != Some(Errno::SRCH.raw_os_error()));
            let left = end.saturating_duration_since(Instant::now());
            // One that cannot be killed is not waited for: the others are.
            let left = if refused.is_some() {
                Default::default()
            } else {
                left
            };
            match (fd.ends_within(left), refused) {
                (Ok(true), _) => {
                    say(format!("{process} (pid {pid}) has ended"));
                    return false;
                }
                (_, Some(error)) => say(format!("{process} (pid {pid}) cannot be killed: {error}")),
                (Ok(false), None) => say(format!("{process} (pid {pid}) has not ended")),
                (Err(error), None) => {
                    say(format!(
                        "{process} (pid {pid}) is not known to have ended: {error}"
                    ));
                }
            }
            true
        });
        self.0.is_empty()
    }
}

fn may_live(fd: &PidFd) -> bool {
    !fd.has_died().unwrap_or(false)
}

/// The pidfd first, then the start, then whether it still lives: what was read is then about the process
/// of the pidfd (`rfc/10-death-watch.md`, "Identity").
fn open(proc: &Proc, known: &Identified) -> io::Result<Opened> {
    let fd = match PidFd::of(known.pid) {
        Ok(fd) => fd,
        Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
            return Ok(Opened::Ended);
        }
        Err(error) => return Err(error),
    };
    let started = proc.started(known.pid);
    if fd.has_died()? || started? != known.started {
        return Ok(Opened::Ended);
    }
    Ok(Opened::Holds(fd))
}

#[cfg(test)]
pub(super) mod tests {
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use halink::{Fid, FidType};

    use super::*;

    /// A process that waits for its stdin to end.
    pub(in super::super) struct Waiting(pub(in super::super) Child);

    impl Waiting {
        pub(in super::super) fn start() -> Self {
            let mut command = Command::new("cat");
            Self(command.stdin(Stdio::piped()).spawn().unwrap())
        }

        pub(in super::super) fn known(&self) -> Identified {
            let pid = self.0.id();
            Identified {
                pid,
                started: Proc::default().started(pid).unwrap(),
                process: Fid::typed(FidType::Process, 1, 2),
            }
        }

        pub(in super::super) fn has_ended(&mut self) -> bool {
            self.0.try_wait().unwrap().is_some()
        }
    }

    impl Drop for Waiting {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn all_that_are_held_are_killed_and_known_to_have_ended() {
        let (mut one, mut two) = (Waiting::start(), Waiting::start());
        let mut held = Held::default();
        let known = [one.known(), two.known()];
        assert_eq!(held.add(&Proc::default(), &known), [""; 0]);
        // A later list without one of them is no reason to let it go.
        assert_eq!(held.add(&Proc::default(), &known[..1]), [""; 0]);
        assert!(held.is_alive());
        let mut said = Vec::new();
        assert!(held.kill(soon(), |words| said.push(words)));
        assert!(one.has_ended() && two.has_ended());
        assert!(said.len() == 2 && !held.is_alive(), "{said:?}");
    }

    #[test]
    fn a_pid_that_was_given_to_another_is_not_killed() {
        let mut other = Waiting::start();
        let mut known = other.known();
        known.started -= 1;
        let mut held = Held::default();
        assert_eq!(held.add(&Proc::default(), &[known]), [""; 0]);
        assert!(!held.is_alive());
        assert!(held.kill(soon(), drop));
        assert!(!other.has_ended());
    }

    #[test]
    fn what_cannot_be_looked_at_is_missing() {
        let process = Waiting::start();
        let empty = tempfile::tempdir().unwrap();
        let mut held = Held::default();
        let missing = held.add(&Proc::at(empty.path()), &[process.known()]);
        assert_eq!(missing.len(), 1, "{missing:?}");
    }
}
