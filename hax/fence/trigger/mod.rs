//! Triggers: what Consul and the bridge know calls for a fence, and the coordinator is asked for it
//! (`rfc/12-fencing.md`, "Triggers").
//!
//! ```text
//!   checks, words, isolations, reports ──▶ conditions ──(policy: after)──▶ decide ──▶ FenceHandle::request
//!                                                  records under fence/ ──┘
//! ```

mod condition;
mod decide;
#[cfg(test)]
mod tests;

pub use condition::{Condition, Scene, conditions};
pub use decide::{Decision, Facts, decide, originators, policy};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use halink::Fid;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::handle::{Ask, FenceHandle, Refused, Taken};
use super::model::{NodeName, Refusal, Target, UnixMillis};
use crate::bridge::SharedVerdicts;
use crate::cluster::{Snapshot, View};
use crate::config::fence::{FenceConfig, Trigger};

/// How much later than the peer before it a peer asks.
const TURN: Duration = Duration::from_secs(2);

/// Peers that wait for each other at most; those after them ask together.
const TURNS_MAX: u32 = 5;

/// Pauses after a request that was not taken: the first one, and the longest.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// How long a look at what is true now may take.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Requests under way at most.
const ASKING_MAX: usize = 16;

/// The task that asks.
#[derive(Debug)]
pub struct Triggers {
    /// `[fence]`.
    pub config: Arc<FenceConfig>,
    /// This node.
    pub me: NodeName,
    /// The bridge's own process.
    pub own: Fid,
    /// What checks and processes say.
    pub view: View,
    /// What fences say, and who is isolated.
    pub verdicts: SharedVerdicts,
    /// Who is asked.
    pub handle: FenceHandle,
}

/// A condition that is there.
#[derive(Debug)]
struct Watched {
    /// When it was first seen.
    since: Instant,
    /// Before this nothing is asked for.
    not_before: Instant,
    /// Requests in a row that were not taken.
    refused: u32,
    asking: bool,
    /// Why the process itself cannot be fenced, if the coordinator has said so.
    cannot: Option<String>,
    /// What was logged last.
    said: String,
}

type Answer = (Target, Result<Option<Taken>, Refused>);

impl Triggers {
    /// Asks until it is cancelled.
    pub async fn run(self, cancel: CancellationToken) {
        let started = Instant::now();
        let mut views = self.handle.views();
        let mut snapshots = self.view.snapshots();
        let mut verdicts = self.verdicts.changes();
        let mut watched = BTreeMap::new();
        let mut asking: JoinSet<Answer> = JoinSet::new();
        loop {
            views.mark_unchanged();
            snapshots.mark_unchanged();
            verdicts.mark_unchanged();
            let due = self.look(started, &mut watched, &mut asking);
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = views.changed() => {}
                Ok(()) = snapshots.changed() => {}
                Ok(()) = verdicts.changed() => {}
                Some(answer) = asking.join_next() => {
                    if let Ok((target, answer)) = answer {
                        answered(&mut watched, &target, answer);
                    }
                }
                () = until(due) => {}
            }
        }
    }

    /// Looks at all conditions, and asks where the time has come. Returns when to look again.
    fn look(
        &self,
        started: Instant,
        watched: &mut BTreeMap<Target, Watched>,
        asking: &mut JoinSet<Answer>,
    ) -> Option<Instant> {
        let (snapshot, verdicts) = (self.view.last(), self.verdicts.now());
        if !verdicts.known || snapshot.tree.is_empty() {
            return None;
        }
        let view = self.handle.view();
        let facts = Facts {
            config: &self.config,
            fence: &view,
            scene: Scene {
                me: &self.me,
                own: self.own,
                view: &snapshot,
                verdicts: &verdicts,
                fence: &view,
                config: &self.config,
            },
            now: time_of_day(),
        };
        let now = Instant::now();
        let found = conditions(&facts.scene);
        // What has vanished and was not asked for is forgotten.
        watched.retain(|target, _| found.contains_key(target));
        // What a policy's window holds back is looked at again in any case.
        let mut next = (!found.is_empty()).then(|| now + AGAIN_MAX);
        for (target, mut condition) in found {
            let entry = watched.entry(target.clone()).or_insert_with(|| {
                info!(%target, reason = condition.reason, "this may call for a fence");
                Watched {
                    since: now,
                    not_before: now,
                    refused: 0,
                    asking: false,
                    cannot: None,
                    said: String::new(),
                }
            });
            condition.refused.clone_from(&entry.cannot);
            if entry.asking || asking.len() >= ASKING_MAX {
                continue;
            }
            let due = match self.turn(&facts, &target, &condition, entry, started) {
                Ok(due) => due,
                Err(why) => {
                    entry.say(&target, &why);
                    continue;
                }
            };
            if due > now {
                next = Some(next.map_or(due, |next| next.min(due)));
                continue;
            }
            let Some(policy) = policy(&self.config, &snapshot.tree, &target, condition.trigger)
            else {
                continue;
            };
            match decide(&facts, &target, &condition, policy) {
                Decision::Wait => {}
                Decision::Nothing(why) => entry.say(&target, &format!("nothing is done: {why}")),
                Decision::Ask {
                    target: asked,
                    action,
                    source,
                    reason,
                } => {
                    entry.say(
                        &target,
                        &format!("{} of {asked}: {reason}", action.as_str()),
                    );
                    entry.asking = true;
                    let ask = Ask {
                        id: None,
                        target: asked,
                        action,
                        source,
                        who: format!("policy {}", policy.name),
                        reason,
                        tolerance: self.config.tolerance,
                        device: None,
                        delay: Duration::ZERO,
                        overridden: false,
                        expire: None,
                    };
                    let trigger = condition.trigger;
                    asking.spawn(self.asker().ask(target, trigger, ask));
                }
            }
        }
        next
    }

    /// When this peer may ask; or why it never does.
    fn turn(
        &self,
        facts: &Facts<'_>,
        target: &Target,
        condition: &Condition,
        entry: &Watched,
        started: Instant,
    ) -> Result<Instant, String> {
        let tree = &facts.scene.view.tree;
        let policy = policy(&self.config, tree, target, condition.trigger)
            .ok_or_else(|| "nothing is done: no policy is for it".to_owned())?;
        // A check flaps; a fatal message has been sent, and only this node knows.
        let (after, rank) = match condition.trigger {
            Trigger::Isolate => (Duration::ZERO, 0),
            _ => {
                let peers = originators(facts.fence, target);
                let before = peers.take_while(|peer| **peer != self.me).count();
                let rank = u32::try_from(before).unwrap_or(TURNS_MAX).min(TURNS_MAX);
                (policy.after, rank)
            }
        };
        let due = entry.since + after + TURN * rank;
        Ok(due
            .max(entry.not_before)
            .max(started + self.config.startup_grace))
    }

    fn asker(&self) -> Asker {
        Asker {
            config: Arc::clone(&self.config),
            me: self.me.clone(),
            own: self.own,
            view: self.view.clone(),
            verdicts: self.verdicts.clone(),
            handle: self.handle.clone(),
        }
    }
}

/// What one request needs.
struct Asker {
    config: Arc<FenceConfig>,
    me: NodeName,
    own: Fid,
    view: View,
    verdicts: SharedVerdicts,
    handle: FenceHandle,
}

impl Asker {
    /// Asks, if it is still true: after a time without Consul the view may be old.
    async fn ask(self, target: Target, trigger: Trigger, ask: Ask) -> Answer {
        let still = match tokio::time::timeout(LOOK_MAX, self.view.fresh()).await {
            Ok(Ok(snapshot)) => self.is_there(&snapshot, &target, trigger),
            Ok(Err(error)) => {
                let refused = Refused::new(Refusal::NoQuorum, error.to_string());
                return (target, Err(refused));
            }
            Err(_) => {
                let detail = "Consul does not say what is true now";
                return (target, Err(Refused::new(Refusal::NoQuorum, detail)));
            }
        };
        if !still {
            return (target, Ok(None));
        }
        let answer = self.handle.request(ask).await;
        (target, answer.map(Some))
    }

    fn is_there(&self, snapshot: &Snapshot, target: &Target, trigger: Trigger) -> bool {
        let (verdicts, fence) = (self.verdicts.now(), self.handle.view());
        let scene = Scene {
            me: &self.me,
            own: self.own,
            view: snapshot,
            verdicts: &verdicts,
            fence: &fence,
            config: &self.config,
        };
        let found = conditions(&scene);
        found
            .get(target)
            .is_some_and(|found| found.trigger == trigger)
    }
}

impl Watched {
    /// Logs each decision once.
    fn say(&mut self, target: &Target, what: &str) {
        if self.said != what {
            what.clone_into(&mut self.said);
            warn!(%target, decision = what, "fencing has decided");
        }
    }
}

fn answered(
    watched: &mut BTreeMap<Target, Watched>,
    target: &Target,
    answer: Result<Option<Taken>, Refused>,
) {
    let Some(entry) = watched.get_mut(target) else {
        return;
    };
    entry.asking = false;
    match answer {
        Ok(Some(taken)) => {
            info!(%target, op = %taken.op, merged = taken.merged, "the fence is asked for");
            entry.refused = 0;
            // The view has the operation before that.
            entry.not_before = Instant::now() + AGAIN;
        }
        Ok(None) => debug!(%target, "it is not so any more"),
        Err(refused) => {
            let pause = AGAIN * 2_u32.saturating_pow(entry.refused.min(6));
            entry.not_before = Instant::now() + pause.min(AGAIN_MAX);
            entry.refused = entry.refused.saturating_add(1);
            let unable = [Refusal::NoDevice, Refusal::NoPeer, Refusal::UnknownTarget];
            if target.process().is_some() && unable.contains(&refused.refusal) {
                entry.cannot = Some(refused.to_string());
            }
            entry.say(target, &format!("it is asked for again: {refused}"));
        }
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

fn time_of_day() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = now.unwrap_or_default().as_millis();
    UnixMillis(u64::try_from(millis).unwrap_or(u64::MAX))
}
