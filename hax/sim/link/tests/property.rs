//! What is lost and repeated, and what is not, whatever happens to connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::model::ModelBridge;
use super::{identity, number, numbered};
use crate::sim::link::{Incoming, Link};
use crate::sim::wire::Frame;

#[derive(Clone, Debug)]
enum Step {
    ProcessSends,
    BridgeSends,
    ProcessDelivers(Index),
    BridgeDelivers(Index),
    Write(usize),
    ToBridge,
    ToProcess,
    Ask,
    Drop,
    Connect,
    Restart,
}

fn steps(restarts: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => Just(Step::ProcessSends),
        3 => Just(Step::BridgeSends),
        2 => any::<Index>().prop_map(Step::ProcessDelivers),
        2 => any::<Index>().prop_map(Step::BridgeDelivers),
        12 => (1..8usize).prop_map(Step::Write),
        16 => Just(Step::ToBridge),
        16 => Just(Step::ToProcess),
        1 => Just(Step::Ask),
        2 => Just(Step::Drop),
        4 => Just(Step::Connect),
        1 => Just(if restarts { Step::Restart } else { Step::Drop }),
    ];
    vec(step, 0..300)
}

struct World {
    link: Link,
    bridge: ModelBridge,
    connected: bool,
    to_bridge: VecDeque<Frame>,
    to_process: VecDeque<Frame>,
    sent: u64,
    bridge_sent: u64,
    /// Messages the process received and has not delivered.
    held: Vec<(u64, u64)>,
    /// Numbers the process handled, by generation.
    handled: BTreeMap<u64, Vec<u64>>,
    acknowledged: Vec<u64>,
    /// What the process said is delivered: generation and tag.
    delivered: BTreeSet<(u64, u64)>,
}

impl World {
    fn new() -> World {
        let mut bridge = ModelBridge::default();
        bridge.restart();
        World {
            link: Link::new(identity(), false),
            bridge,
            connected: false,
            to_bridge: VecDeque::new(),
            to_process: VecDeque::new(),
            sent: 0,
            bridge_sent: 0,
            held: Vec::new(),
            handled: BTreeMap::new(),
            acknowledged: Vec::new(),
            delivered: BTreeSet::new(),
        }
    }

    fn write(&mut self) {
        if self.connected {
            let frame = self.link.poll_transmit();
            if let Some(Frame::Delivered(tag)) = frame {
                let said = self.delivered.contains(&(self.link.generation, tag));
                assert!(said, "{tag} is acknowledged before it is delivered");
            }
            self.to_bridge.extend(frame);
            self.to_process.append(&mut self.bridge.out);
        }
    }

    fn disconnect(&mut self) {
        if self.connected {
            self.connected = false;
            self.link.disconnected();
            self.bridge.drop_connection();
            self.to_bridge.clear();
            self.to_process.clear();
        }
    }

    fn receive(&mut self, frame: Frame) {
        match self.link.on_frame(frame).unwrap() {
            Incoming::Message { generation, msg } => {
                self.held.push((generation, msg.tag));
                self.handled
                    .entry(generation)
                    .or_default()
                    .push(number(&msg));
            }
            Incoming::Delivered(msg) => self.acknowledged.push(number(&msg)),
            _ => {}
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::ProcessSends => {
                self.link.send(numbered(0, self.sent)).unwrap();
                self.sent += 1;
            }
            Step::BridgeSends if self.bridge.links.is_empty() => {}
            Step::BridgeSends => {
                self.bridge.send(self.bridge_sent);
                self.bridge_sent += 1;
            }
            Step::ProcessDelivers(_) if self.held.is_empty() => {}
            Step::ProcessDelivers(which) => {
                let (generation, tag) = self.held.swap_remove(which.index(self.held.len()));
                self.delivered.insert((generation, tag));
                self.link.delivered(generation, tag);
            }
            Step::BridgeDelivers(which) => self.bridge.deliver(which),
            Step::Write(frames) => (0..frames).for_each(|_| self.write()),
            Step::ToBridge => {
                if let Some(frame) = self.to_bridge.pop_front() {
                    self.bridge.receive(frame);
                }
            }
            Step::ToProcess => {
                if let Some(frame) = self.to_process.pop_front() {
                    self.receive(frame);
                }
            }
            Step::Ask => {
                let _ = self.link.request();
            }
            Step::Drop => self.disconnect(),
            Step::Connect => {
                if !self.connected {
                    self.connected = true;
                    self.link.connected();
                }
            }
            Step::Restart => {
                self.disconnect();
                self.bridge.restart();
            }
        }
    }

    /// Lets everything arrive and be delivered.
    fn settle(&mut self) {
        self.step(Step::Connect);
        loop {
            self.write();
            let idle = self.to_bridge.is_empty() && self.to_process.is_empty();
            while let Some(frame) = self.to_bridge.pop_front() {
                self.bridge.receive(frame);
            }
            while let Some(frame) = self.to_process.pop_front() {
                self.receive(frame);
            }
            let delivered = self.deliver_all();
            if idle && !delivered && self.bridge.out.is_empty() {
                break;
            }
        }
    }

    fn deliver_all(&mut self) -> bool {
        let mut any = false;
        for (generation, tag) in self.held.drain(..) {
            self.delivered.insert((generation, tag));
            self.link.delivered(generation, tag);
            any = true;
        }
        for link in self.bridge.links.values_mut() {
            for tag in std::mem::take(&mut link.undelivered) {
                self.bridge.out.push_back(Frame::Delivered(tag));
                any = true;
            }
        }
        any
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn lost_connections_lose_and_repeat_nothing(steps in steps(false)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.settle();
        let all: Vec<u64> = (0..world.sent).collect();
        prop_assert_eq!(&world.bridge.handled, &vec![all.clone()]);
        world.acknowledged.sort_unstable();
        prop_assert_eq!(&world.acknowledged, &all, "each message is acknowledged once");
        prop_assert_eq!(world.link.unacked(), 0);
        // A first request whose reply was lost leaves a link behind with what was sent on it.
        let got = world.handled.remove(&0).unwrap_or_default();
        prop_assert!(world.handled.is_empty());
        prop_assert!(got.windows(2).all(|pair| pair[0] < pair[1]), "in order, once: {:?}", got);
        let last = &world.bridge.links[&world.bridge.last_link];
        prop_assert!(last.unacked.is_empty());
        prop_assert_eq!(got.len() as u64, last.sent);
    }

    #[test]
    fn a_restart_of_the_bridge_loses_nothing_undelivered(steps in steps(true)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.settle();
        prop_assert_eq!(world.link.unacked(), 0);
        for run in &world.bridge.handled {
            prop_assert!(run.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", run);
        }
        let mut some_run: Vec<u64> = world.bridge.handled.concat();
        some_run.sort_unstable();
        some_run.dedup();
        prop_assert_eq!(some_run, (0..world.sent).collect::<Vec<_>>());
        for numbers in world.handled.values() {
            prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", numbers);
        }
    }
}
