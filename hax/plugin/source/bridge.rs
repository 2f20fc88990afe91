//! Links, the election and the queue: what the bridge itself knows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::bridge::Parts;
use crate::plugin::{Hub, LeaderObject, Link, Object, Queue, SourceId};

/// How often the bridge is looked at. Links that came and went between two looks are not told of, as their
/// processes are.
const INTERVAL: Duration = Duration::from_millis(250);

/// Looks at the bridge. None of its locks is held for longer than a copy of its tables takes.
#[derive(Debug)]
pub struct BridgeSource {
    /// The bridge.
    pub parts: Arc<Parts>,
}

impl BridgeSource {
    /// Tells the hub of every change until it is cancelled.
    pub async fn run(self, hub: Hub, cancel: CancellationToken) {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while cancel.run_until_cancelled(ticks.tick()).await.is_some() {
            hub.resync(SourceId::Bridge, self.objects());
            hub.set_status(SourceId::Bridge, |status| status.up = true);
        }
    }

    fn objects(&self) -> Vec<Object> {
        let parts = &*self.parts;
        let links = parts.links.status().into_iter();
        let mut objects: Vec<Object> = links
            .map(|link| {
                Object::from(Link {
                    link: link.id.0,
                    process: Some(link.process.to_string()),
                    endpoint: Some(link.endpoint),
                    own: Some(link.own),
                    up: Some(link.up),
                })
            })
            .collect();
        let leader = parts.leader.status();
        objects.push(Object::from(LeaderObject {
            standing: Some(leader.standing.word().to_owned()),
            node: leader.node,
            session: leader.session,
        }));
        let stats = parts.interface.stats();
        let consul = match parts.view.last_error() {
            None => "reachable",
            Some(_) => "unreachable",
        };
        objects.push(Object::from(Queue {
            over_bound: Some(parts.alarm.observe(stats.messages, &parts.counters)),
            dead_letters: Some(parts.letters.ids().len() as u64),
            consul: Some(consul.to_owned()),
            waiting: Some(parts.dispatcher.progress().waiting as u64),
        }));
        objects
    }
}
