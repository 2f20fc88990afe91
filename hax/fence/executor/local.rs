//! The kinds without a program: `process`, `watchdog`, `dummy`.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::fence::model::{Action, Ended, RunResult, Target};

use super::api::{BootInstant, LocalProcesses, Run};
use super::evidence::ended;

/// How much longer than it may the answer of the process's hax is waited for.
const SLACK: Duration = Duration::from_secs(1);

/// Why a run must not begin, if it must not.
pub(super) fn not_begun(run: &Run, since: Instant) -> Option<Ended> {
    if run.cancel.is_cancelled() {
        return Some(killed(since));
    }
    if BootInstant::now() > run.start_by {
        let words = "not started: it was too late";
        return Some(ended(RunResult::Refused, words, since));
    }
    None
}

/// Kills a process of this node.
pub(super) async fn process(local: &dyn LocalProcesses, run: &Run, timeout: Duration) -> Ended {
    let since = Instant::now();
    if let Some(ended) = not_begun(run, since) {
        return ended;
    }
    let own = local.node();
    let wrong = match &run.target {
        Target::Process { node, .. } if *node != own => {
            Some(format!("{} is not of this node, {own}", run.target))
        }
        Target::Node(_) => Some("the device ends processes only".to_owned()),
        Target::Process { .. } if run.action == Action::On => {
            Some("the device starts no process".to_owned())
        }
        Target::Process { .. } => None,
    };
    let (Some(process), None) = (run.target.process(), &wrong) else {
        return ended(RunResult::Internal, wrong.unwrap_or_default(), since);
    };
    let answer = tokio::time::timeout(timeout + SLACK, local.kill(process, timeout));
    tokio::select! {
        answer = answer => match answer {
            Ok(Ok(ended)) => ended,
            Ok(Err(_)) => ended(RunResult::Internal, "the bridge has ended", since),
            Err(_) => ended(RunResult::Timeout, "no answer from the bridge", since),
        },
        // SIGKILL may be on its way.
        () = run.cancel.cancelled() => {
            ended(RunResult::Indeterminate, "cancelled while it was being killed", since)
        }
    }
}

/// Waits until the target has fenced itself. The bound is the target's own promise, so that the end
/// of the wait is the success.
pub(super) async fn watchdog(run: &Run, timeout: Duration) -> Ended {
    let since = Instant::now();
    if let Some(ended) = not_begun(run, since) {
        return ended;
    }
    if run.action == Action::On {
        return ended(RunResult::Internal, "a watchdog switches nothing on", since);
    }
    if !passes(timeout, &run.cancel).await {
        return killed(since);
    }
    let words = format!(
        "waited {} s, within which the target has fenced itself",
        timeout.as_secs_f64()
    );
    ended(RunResult::Success, words, since)
}

/// Does nothing for a while.
pub(super) async fn dummy(run: &Run, succeed: bool, takes: Duration, timeout: Duration) -> Ended {
    let since = Instant::now();
    if let Some(ended) = not_begun(run, since) {
        return ended;
    }
    if !passes(takes.min(timeout), &run.cancel).await {
        return killed(since);
    }
    if takes > timeout {
        return ended(RunResult::Timeout, "dummy: takes longer than it may", since);
    }
    let (result, word) = match succeed {
        true => (RunResult::Success, "succeed"),
        false => (RunResult::NotAcknowledged, "fail"),
    };
    ended(result, format!("dummy: configured to {word}"), since)
}

/// Waits; false if it was cancelled.
async fn passes(duration: Duration, cancel: &CancellationToken) -> bool {
    tokio::select! {
        biased;
        () = cancel.cancelled() => false,
        () = tokio::time::sleep(duration) => true,
    }
}

fn killed(since: Instant) -> Ended {
    ended(RunResult::Killed, "ended by hax, which was told to", since)
}

#[cfg(test)]
mod tests {
    use halink::Fid;
    use tokio::sync::oneshot;

    use super::*;
    use crate::fence::model::NodeName;

    /// Acknowledges everything, or nothing ever.
    struct Local(bool);

    impl LocalProcesses for Local {
        fn kill(&self, _: Fid, _: Duration) -> oneshot::Receiver<Ended> {
            let (answer, receiver) = oneshot::channel();
            if self.0 {
                let _ = answer.send(ended(RunResult::Success, "killed", Instant::now()));
            } else {
                std::mem::forget(answer);
            }
            receiver
        }

        fn all(&self) -> Vec<Fid> {
            Vec::new()
        }

        fn node(&self) -> NodeName {
            "me".parse().unwrap()
        }
    }

    async fn result(action: Action, target: &str, answers: bool) -> RunResult {
        let run = Run {
            device: "local".parse().unwrap(),
            action,
            target: target.parse().unwrap(),
            start_by: BootInstant::now().after(Duration::from_secs(60)),
            cancel: CancellationToken::new(),
        };
        let ended = process(&Local(answers), &run, Duration::from_secs(5)).await;
        ended.result
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_process_of_this_node_is_killed_and_the_wait_is_bounded() {
        let own = "0x7200000000000001:0x2@me";
        let of = result;
        assert_eq!(of(Action::Off, own, true).await, RunResult::Success);
        assert_eq!(of(Action::Reboot, own, true).await, RunResult::Success);
        assert_eq!(of(Action::Off, own, false).await, RunResult::Timeout);
        let other = "0x7200000000000001:0x2@other";
        for (action, target) in [(Action::On, own), (Action::Off, other), (Action::Off, "me")] {
            assert_eq!(
                of(action, target, true).await,
                RunResult::Internal,
                "{target}"
            );
        }
    }
}
