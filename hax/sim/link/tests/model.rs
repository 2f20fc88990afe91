//! A bridge to hold the link against.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use proptest::sample::Index;

use super::{number, numbered, reply};
use crate::sim::wire::{EntrypointReq, Frame, LinkStatus};

/// The bridge's end as 6/WIRE describes it, for one process.
#[derive(Default)]
pub(super) struct ModelBridge {
    instance: u64,
    pub(super) last_link: u64,
    pub(super) links: HashMap<u64, ModelLink>,
    carried: Option<u64>,
    /// Numbers handled, in order, by each run of the bridge.
    pub(super) handled: Vec<Vec<u64>>,
    pub(super) out: VecDeque<Frame>,
}

#[derive(Default)]
pub(super) struct ModelLink {
    pub(super) sent: u64,
    pub(super) unacked: BTreeMap<u64, u64>,
    highest: u64,
    pub(super) undelivered: BTreeSet<u64>,
}

impl ModelBridge {
    pub(super) fn restart(&mut self) {
        self.instance += 1;
        self.links.clear();
        self.carried = None;
        self.out.clear();
        self.handled.push(Vec::new());
    }

    pub(super) fn drop_connection(&mut self) {
        self.carried = None;
        self.out.clear();
    }

    pub(super) fn receive(&mut self, frame: Frame) {
        match frame {
            Frame::EntrypointReq(req) => self.entrypoint(&req),
            Frame::Msg(msg) => {
                assert!(msg.tag % 2 == 0 && msg.tag > 0);
                let link = self.links.get_mut(&self.carried.unwrap()).unwrap();
                if msg.tag > link.highest {
                    link.highest = msg.tag;
                    link.undelivered.insert(msg.tag);
                    self.handled.last_mut().unwrap().push(number(&msg));
                } else if !link.undelivered.contains(&msg.tag) {
                    self.out.push_back(Frame::Delivered(msg.tag));
                }
            }
            Frame::Delivered(tag) => {
                let link = self.links.get_mut(&self.carried.unwrap()).unwrap();
                assert!(tag % 2 == 1 && tag < 2 * link.sent + 1, "unknown tag {tag}");
                link.unacked.remove(&tag);
            }
            Frame::EntrypointRep(_) => panic!("a reply from a process"),
        }
    }

    fn entrypoint(&mut self, req: &EntrypointReq) {
        let known = !req.first && req.instance == self.instance;
        let status = if known {
            LinkStatus::Reused
        } else {
            LinkStatus::Connected
        };
        let id = if known { req.link } else { self.last_link + 1 };
        assert!(!known || self.links.contains_key(&id));
        self.last_link = self.last_link.max(id);
        let link = self.links.entry(id).or_default();
        self.out
            .push_back(reply(req.seq, status, self.instance, id));
        if self.carried.replace(id).is_none() {
            let again = link
                .unacked
                .iter()
                .map(|(tag, n)| Frame::Msg(numbered(*tag, *n)));
            self.out.extend(again);
        }
    }

    pub(super) fn send(&mut self, n: u64) {
        let link = self.links.get_mut(&self.last_link).unwrap();
        let tag = 2 * link.sent + 1;
        link.sent += 1;
        link.unacked.insert(tag, n);
        if self.carried == Some(self.last_link) {
            self.out.push_back(Frame::Msg(numbered(tag, n)));
        }
    }

    pub(super) fn deliver(&mut self, which: Index) {
        let Some(link) = self.links.get_mut(&self.last_link) else {
            return;
        };
        if link.undelivered.is_empty() {
            return;
        }
        let tag = *which.get(&link.undelivered.iter().copied().collect::<Vec<_>>());
        link.undelivered.remove(&tag);
        if self.carried == Some(self.last_link) {
            self.out.push_back(Frame::Delivered(tag));
        }
    }
}
