//! One run through a device that is a program.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use crate::config::fence::HostCheck;
use crate::fence::model::{Action, Ended, NodeName, RunResult};

use super::api::{BootInstant, Run};
use super::device::{Device, Program, REBOOT, node_of};
use super::evidence::{Said, ended};
use super::guarded::Guard;
use super::program::{Aim, Bounds, Called, Verb};
use super::{command, listing};

/// With less time than that left the device is not asked what was wrong.
const ENOUGH: Duration = Duration::from_secs(1);

/// Does it, once.
pub(super) async fn run(guard: &Guard, device: &Device, program: &Program, run: &Run) -> Ended {
    let since = Instant::now();
    let internal = |why: String| ended(RunResult::Internal, why, since);
    let node = match node_of(&run.target) {
        Ok(node) => node,
        Err(why) => return internal(why),
    };
    // A reboot that the device does not know has the reboot's time for both halves.
    let timeout = device.config.timeouts.of(run.action);
    let bounds = Bounds {
        start_by: run.start_by,
        ..Bounds::within(timeout, device.config.kill_grace)
    };
    let (port, bounds) = match port(guard, device, program, node, bounds, run).await {
        Ok(found) => found,
        Err(ended) => return ended,
    };
    let one = One {
        guard,
        device,
        program,
        run,
        bounds,
        aim: Aim { node, port: &port },
    };
    let whole = program.knows(Verb::Fence(run.action));
    if run.action != Action::Reboot || whole {
        return one.act(run.action).await;
    }
    let [off, on] = REBOOT;
    let off = one.act(off).await;
    if off.result != RunResult::Success {
        return off;
    }
    // It is fenced, whatever comes of this.
    let bounds = bounds.begun();
    let on = One { bounds, ..one }.act(on).await;
    let words = format!(
        "off: {}; on: {:?}: {}",
        off.evidence, on.result, on.evidence
    );
    ended(RunResult::Success, words, since)
}

/// What the device calls the node, and the bounds of what follows. Where only the device's own list tells,
/// it is asked now: what it said earlier may be about another machine today.
async fn port<'a>(
    guard: &Guard,
    device: &'a Device,
    program: &Program,
    node: &'a NodeName,
    bounds: Bounds,
    run: &Run,
) -> Result<(Cow<'a, str>, Bounds), Ended> {
    let hosts = &device.config.hosts;
    let by_name = Cow::Borrowed(device.port(node));
    let named = hosts.map.contains_key(node) || hosts.list.contains(node);
    if hosts.check != HostCheck::Dynamic || named || !program.knows(Verb::List) {
        return Ok((by_name, bounds));
    }
    let timeout = device.config.timeouts.list.min(bounds.left());
    let listing = Bounds {
        deadline: BootInstant::now().after(timeout),
        ..bounds
    };
    let cancel = &run.cancel;
    let called = device.call(guard, Verb::List, None, listing, cancel).await;
    let found = match (called.said, &called.stdout) {
        (Said::Exit(0), Some(text)) => {
            let found = listing::port_of(&listing::parse(text), node, None);
            found.map_err(|why| called.ended_after(RunResult::Internal, &why))?
        }
        (Said::Exit(_), _) => None,
        (Said::Not(result), _) => return Err(called.ended_after(result, "this was its list")),
    };
    // The agent itself says best what it thinks of a name that its device does not list.
    Ok((found.map_or(by_name, Cow::Owned), bounds.begun()))
}

/// One action on one node, known to the device by its port.
#[derive(Clone, Copy)]
struct One<'a> {
    guard: &'a Guard,
    device: &'a Device,
    program: &'a Program,
    run: &'a Run,
    bounds: Bounds,
    aim: Aim<'a>,
}

impl One<'_> {
    async fn act(&self, action: Action) -> Ended {
        let verb = Verb::Fence(action);
        if !self.program.knows(verb) {
            let words = format!("the device does not know {}", action.as_str());
            return ended(RunResult::Internal, words, Instant::now());
        }
        let called = self.call(verb, self.bounds).await;
        match called.said {
            Said::Exit(0) => called.ended(|_| RunResult::Success),
            Said::Exit(_) if self.program.tells_class() => called.ended(command::class),
            Said::Exit(_) => self.why_not(&called).await,
            Said::Not(_) => called.ended(|_| RunResult::Internal),
        }
    }

    async fn call(&self, verb: Verb, bounds: Bounds) -> Called {
        let aim = (verb != Verb::Monitor).then_some(self.aim);
        let cancel = &self.run.cancel;
        self.device
            .call(self.guard, verb, aim, bounds, cancel)
            .await
    }

    /// An agent has the same exit code for a device that it did not reach and for one that did not
    /// obey. What it says about the status tells them apart; its words are not interpreted, and a
    /// status of "off" does not make a success of a failure.
    async fn why_not(&self, failed: &Called) -> Ended {
        let verb = [Verb::Status, Verb::Monitor]
            .into_iter()
            .find(|verb| self.program.knows(*verb));
        let left = self.bounds.left();
        let Some(verb) = verb.filter(|_| left >= ENOUGH) else {
            return failed.ended_after(RunResult::NotAcknowledged, "not asked for its status");
        };
        let timeout = verb.timeout(&self.device.config.timeouts);
        let bounds = Bounds::within(timeout.min(left), self.bounds.grace);
        let status = self.call(verb, bounds).await;
        let (result, word) = match (status.said, verb) {
            (Said::Exit(1), Verb::Status) => (RunResult::Unreachable, "its status cannot be read"),
            (Said::Exit(code), Verb::Monitor) if code != 0 => {
                (RunResult::Unreachable, "it cannot be reached")
            }
            (Said::Exit(0), Verb::Status) => (RunResult::NotAcknowledged, "its status is on"),
            (Said::Exit(2), Verb::Status) => (RunResult::NotAcknowledged, "its status is off"),
            (Said::Exit(_), _) => (RunResult::NotAcknowledged, "it can be reached"),
            // Less than its full time proves nothing.
            (Said::Not(RunResult::Timeout), _) if timeout <= left => {
                (RunResult::Unreachable, "its status takes too long")
            }
            (Said::Not(RunResult::Killed), _) => (RunResult::Killed, "then cancelled"),
            (Said::Not(_), _) => (RunResult::NotAcknowledged, "its status is not known"),
        };
        failed.ended_after(result, word)
    }
}
