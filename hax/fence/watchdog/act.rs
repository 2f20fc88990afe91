//! What a node does to itself.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::bridge::SharedVerdicts;
use crate::config::fence::WatchdogAction;
use crate::fence::executor::LocalProcesses;
use crate::fence::model::RunResult;

/// Between two tries to end what is left.
const AGAIN: Duration = Duration::from_millis(100);

/// How long a command may take before the watchdog goes on without it.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// What is done, in this order: no process of the node may start; all are ended; the action.
pub struct Act {
    /// The processes.
    pub local: Arc<dyn LocalProcesses>,
    /// No process is let in from here on.
    pub verdicts: SharedVerdicts,
    /// Within this the processes have to be ended.
    pub stop_max: Duration,
    /// What comes then.
    pub action: WatchdogAction,
    /// `/proc/sysrq-trigger`.
    pub sysrq: PathBuf,
}

impl Act {
    /// Does it. The action is for a node whose watchdog was `armed`: before that nobody counts on it, and a
    /// node that starts while Consul is away must not reset itself again and again.
    pub(super) fn run(&self, armed: bool) {
        self.verdicts.update(|verdicts| verdicts.stopped = true);
        self.end_processes();
        if !armed {
            return info!("the watchdog was not armed: nothing more is done");
        }
        match &self.action {
            WatchdogAction::Processes => {}
            WatchdogAction::Command(words) => run_command(words),
            WatchdogAction::Reboot => self.reset(),
        }
    }

    /// Kills all processes at once, again and again until every one is known to have ended or the time is
    /// over.
    fn end_processes(&self) {
        let end = Instant::now() + self.stop_max;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let killed = self.local.all().into_iter();
            let killed: Vec<_> = killed
                .map(|process| (process, self.local.kill(process, left)))
                .collect();
            let mut remain = 0;
            for (process, answer) in killed {
                match answer.blocking_recv() {
                    Ok(ended) if ended.result == RunResult::Success => {
                        warn!(%process, evidence = ended.evidence, "ended by the watchdog");
                    }
                    Ok(ended) => {
                        remain += 1;
                        error!(%process, evidence = ended.evidence, "not known to have ended");
                    }
                    Err(_) => {
                        remain += 1;
                        error!(%process, "not known to have ended: it could not be killed");
                    }
                }
            }
            if remain == 0 {
                return info!("no Motr process of this node is left");
            }
            if Instant::now() + AGAIN >= end {
                return error!(
                    remain,
                    "the watchdog has not ended all Motr processes in time"
                );
            }
            std::thread::park_timeout(AGAIN);
        }
    }

    /// The kernel's reset: nothing is synced, nothing is asked.
    fn reset(&self) {
        if let Err(error) = std::fs::write(&self.sysrq, "b") {
            error!(file = %self.sysrq.display(), %error, "the node cannot reset itself");
        }
    }
}

fn run_command(words: &[String]) {
    let Some((program, arguments)) = words.split_first() else {
        return;
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    let mut child = match command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(child) => child,
        Err(error) => return error!(program, %error, "the watchdog's command cannot be run"),
    };
    let end = Instant::now() + COMMAND_MAX;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return info!(program, %status, "the watchdog's command has ended"),
            Ok(None) if Instant::now() < end => std::thread::park_timeout(AGAIN),
            Ok(None) => {
                error!(
                    program,
                    "the watchdog's command takes too long, and is killed"
                );
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                return;
            }
            Err(error) => return error!(program, %error, "the watchdog's command is lost"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use halink::{Fid, FidType};
    use tokio::sync::oneshot;

    use super::*;
    use crate::fence::model::{Ended, NodeName};

    /// One process, which the bridge ends at its `stubborn`th try.
    #[derive(Debug, Clone, Default)]
    pub(in crate::fence::watchdog) struct Fake {
        kills: Arc<AtomicUsize>,
        stubborn: usize,
    }

    impl Fake {
        pub(in crate::fence::watchdog) fn kills(&self) -> usize {
            self.kills.load(Ordering::SeqCst)
        }
    }

    impl LocalProcesses for Fake {
        fn kill(&self, _process: Fid, _timeout: Duration) -> oneshot::Receiver<Ended> {
            let tries = self.kills.fetch_add(1, Ordering::SeqCst);
            let (reply, answer) = oneshot::channel();
            let result = match tries < self.stubborn {
                true => RunResult::Timeout,
                false => RunResult::Success,
            };
            let ended = Ended {
                result,
                evidence: String::new(),
                took_ms: 0,
            };
            reply.send(ended).unwrap();
            answer
        }

        fn all(&self) -> Vec<Fid> {
            vec![Fid::typed(FidType::Process, 1, 2)]
        }

        fn node(&self) -> NodeName {
            "a".parse().unwrap()
        }
    }

    pub(in crate::fence::watchdog) fn act_on(fake: &Fake) -> Act {
        Act {
            local: Arc::new(fake.clone()),
            verdicts: SharedVerdicts::new(true),
            stop_max: Duration::from_secs(30),
            action: WatchdogAction::Processes,
            sysrq: PathBuf::new(),
        }
    }

    #[test]
    fn processes_are_ended_before_the_node_resets_itself() {
        let directory = tempfile::tempdir().unwrap();
        let sysrq = directory.path().join("sysrq");
        let fake = Fake {
            stubborn: 2,
            ..Fake::default()
        };
        let act = Act {
            action: WatchdogAction::Reboot,
            sysrq: sysrq.clone(),
            ..act_on(&fake)
        };
        act.run(false);
        assert_eq!(fake.kills(), 3);
        assert!(!sysrq.exists(), "nobody counts on it");
        assert!(act.verdicts.now().closed().is_some());
        act.run(true);
        assert_eq!(std::fs::read_to_string(sysrq).unwrap(), "b");
    }

    #[test]
    fn the_command_is_run_without_a_shell() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a; b");
        let words = ["touch".to_owned(), file.display().to_string()];
        let act = Act {
            action: WatchdogAction::Command(words.to_vec()),
            ..act_on(&Fake::default())
        };
        act.run(true);
        assert!(file.exists());
    }
}
