use std::collections::HashMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

fn identity() -> Identity {
    Identity {
        process: Fid::new(0x7200_0000_0000_0001, 3),
        pid: 1,
        endpoint: "inet:tcp:127.0.0.1@1".into(),
        git_rev: String::new(),
    }
}

/// A message that carries `n`.
fn numbered(tag: u64, n: u64) -> Msg {
    let nil = Fid::new(0, 0);
    Msg {
        tag,
        ..draft(
            nil,
            nil,
            nil,
            0,
            Body::Rpc {
                attempts: n,
                state: 0,
            },
        )
    }
}

fn number(msg: &Msg) -> u64 {
    match msg.body {
        Body::Rpc { attempts, .. } => attempts,
        _ => panic!("not a numbered message: {msg:?}"),
    }
}

fn reply(seq: u64, status: LinkStatus, instance: u64, link: u64) -> Frame {
    Frame::EntrypointRep(EntrypointRep {
        seq,
        rc: 0,
        status,
        instance,
        link,
        quorum: 1,
        rm: Fid::new(0, 0),
        rm_endpoint: String::new(),
        confds: Vec::new(),
    })
}

/// The bridge's end as 6/WIRE describes it, for one process.
#[derive(Default)]
struct ModelBridge {
    instance: u64,
    last_link: u64,
    links: HashMap<u64, ModelLink>,
    carried: Option<u64>,
    /// Numbers handled, in order, by each run of the bridge.
    handled: Vec<Vec<u64>>,
    out: VecDeque<Frame>,
}

#[derive(Default)]
struct ModelLink {
    sent: u64,
    unacked: BTreeMap<u64, u64>,
    highest: u64,
    undelivered: BTreeSet<u64>,
}

impl ModelBridge {
    fn restart(&mut self) {
        self.instance += 1;
        self.links.clear();
        self.carried = None;
        self.out.clear();
        self.handled.push(Vec::new());
    }

    fn drop_connection(&mut self) {
        self.carried = None;
        self.out.clear();
    }

    fn receive(&mut self, frame: Frame) {
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

    fn send(&mut self, n: u64) {
        let link = self.links.get_mut(&self.last_link).unwrap();
        let tag = 2 * link.sent + 1;
        link.sent += 1;
        link.unacked.insert(tag, n);
        if self.carried == Some(self.last_link) {
            self.out.push_back(Frame::Msg(numbered(tag, n)));
        }
    }

    fn deliver(&mut self, which: Index) {
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

fn bound() -> Link {
    let mut link = Link::new(identity(), false);
    link.connected();
    let Some(Frame::EntrypointReq(req)) = link.poll_transmit() else {
        panic!("no request")
    };
    assert!(req.first && req.instance == 0 && req.link == 0);
    link.on_frame(reply(req.seq, LinkStatus::Connected, 7, 9))
        .unwrap();
    link
}

fn request(link: &mut Link) -> EntrypointReq {
    match link.poll_transmit() {
        Some(Frame::EntrypointReq(req)) => req,
        other => panic!("no request but {other:?}"),
    }
}

#[test]
fn nothing_is_sent_before_the_first_reply() {
    let mut link = Link::new(identity(), false);
    link.send(numbered(0, 1)).unwrap();
    link.connected();
    link.request().unwrap();
    let req = request(&mut link);
    assert_eq!(link.poll_transmit(), None);
    link.on_frame(reply(req.seq, LinkStatus::Connected, 7, 9))
        .unwrap();
    assert_eq!(link.poll_transmit(), Some(Frame::Msg(numbered(2, 1))));
    let again = request(&mut link);
    assert!(!again.first && again.instance == 7 && again.link == 9);
}

#[test]
fn a_held_link_waits_for_the_first_request_only() {
    let mut link = Link::new(identity(), true);
    link.connected();
    assert_eq!(link.poll_transmit(), None);
    let seq = link.request().unwrap();
    assert_eq!(request(&mut link).seq, seq);
    link.on_frame(reply(seq, LinkStatus::Connected, 7, 9))
        .unwrap();
    link.disconnected();
    link.connected();
    assert!(!request(&mut link).first);
}

#[test]
fn at_most_sixteen_requests_are_unanswered() {
    let mut link = bound();
    let seqs: Vec<u64> = (0..20).map(|_| link.request().unwrap()).collect();
    let mut asked = 0;
    while link.poll_transmit().is_some() {
        asked += 1;
    }
    assert_eq!(asked, REQUESTS_MAX);
    link.on_frame(reply(seqs[0], LinkStatus::Reused, 7, 9))
        .unwrap();
    assert_eq!(request(&mut link).seq, seqs[16]);
}

#[test]
fn an_unanswered_request_is_asked_again_on_the_next_connection() {
    let mut link = bound();
    let (one, two) = (link.request().unwrap(), link.request().unwrap());
    link.disconnected();
    link.connected();
    assert_eq!(request(&mut link).seq, one);
    assert_eq!(link.poll_transmit(), None);
    link.on_frame(reply(one, LinkStatus::Reused, 7, 9)).unwrap();
    assert_eq!(request(&mut link).seq, two);
}

fn rebind(link: &mut Link, status: LinkStatus, instance: u64) {
    link.disconnected();
    link.connected();
    let req = request(link);
    link.on_frame(reply(req.seq, status, instance, 9)).unwrap();
}

#[test]
fn a_duplicate_is_acknowledged_once_it_is_delivered() {
    let mut link = bound();
    link.on_frame(Frame::Msg(numbered(1, 1))).unwrap();
    rebind(&mut link, LinkStatus::Reused, 7);
    let again = link.on_frame(Frame::Msg(numbered(1, 1)));
    assert_eq!(again, Ok(Incoming::Duplicate(1)));
    assert_eq!(link.poll_transmit(), None, "not delivered yet");
    link.disconnected();
    link.delivered(0, 1);
    link.connected();
    let req = request(&mut link);
    link.on_frame(reply(req.seq, LinkStatus::Reused, 7, 9))
        .unwrap();
    assert_eq!(link.poll_transmit(), None);
    let again = link.on_frame(Frame::Msg(numbered(1, 1)));
    assert_eq!(again, Ok(Incoming::Duplicate(1)));
    assert_eq!(link.poll_transmit(), Some(Frame::Delivered(1)));
}

#[test]
fn a_message_of_an_earlier_run_is_not_delivered_to_the_next() {
    let mut link = bound();
    link.on_frame(Frame::Msg(numbered(1, 1))).unwrap();
    rebind(&mut link, LinkStatus::Connected, 8);
    let new = link.on_frame(Frame::Msg(numbered(1, 2)));
    assert!(
        matches!(new, Ok(Incoming::Message { generation: 1, .. })),
        "{new:?}"
    );
    link.delivered(0, 1);
    assert_eq!(link.poll_transmit(), None);
    link.delivered(1, 1);
    assert_eq!(link.poll_transmit(), Some(Frame::Delivered(1)));
}

#[test]
fn absent_is_the_end() {
    let mut link = bound();
    link.send(numbered(0, 1)).unwrap();
    link.disconnected();
    link.connected();
    let req = request(&mut link);
    let got = link
        .on_frame(reply(req.seq, LinkStatus::Absent, 7, 0))
        .unwrap();
    assert!(matches!(got, Incoming::Reply { bound: false, .. }));
    link.disconnected();
    link.connected();
    assert_eq!(link.poll_transmit(), None);
}

#[test]
fn what_the_bridge_may_not_do() {
    let fresh = |frame: Frame| {
        let mut link = Link::new(identity(), false);
        link.connected();
        link.poll_transmit();
        link.on_frame(frame).unwrap_err()
    };
    assert_eq!(fresh(Frame::Msg(numbered(1, 1))), LinkError::Unbound("MSG"));
    assert_eq!(fresh(Frame::Delivered(2)), LinkError::Unbound("DELIVERED"));
    assert_eq!(
        fresh(reply(1, LinkStatus::Reused, 7, 9)),
        LinkError::Status {
            status: "REUSED",
            first: 1
        }
    );
    assert_eq!(
        fresh(reply(1, LinkStatus::Absent, 7, 9)),
        LinkError::Status {
            status: "ABSENT",
            first: 1
        }
    );
    assert_eq!(
        fresh(reply(2, LinkStatus::Connected, 7, 9)),
        LinkError::Seq {
            got: 2,
            want: Some(1)
        }
    );

    let mut link = bound();
    assert_eq!(
        link.on_frame(Frame::Msg(numbered(2, 1))),
        Err(LinkError::Tag(2))
    );
    assert_eq!(
        link.on_frame(Frame::Delivered(2)),
        Err(LinkError::UnknownTag(2))
    );
    assert_eq!(
        link.on_frame(Frame::Delivered(0)),
        Err(LinkError::UnknownTag(0))
    );
    let unasked = reply(9, LinkStatus::Reused, 7, 9);
    assert_eq!(
        link.on_frame(unasked),
        Err(LinkError::Seq { got: 9, want: None })
    );
    let seq = link.request().unwrap();
    assert!(matches!(
        link.on_frame(reply(seq, LinkStatus::Reused, 7, 8)),
        Err(LinkError::OtherLink { got_link: 8, .. })
    ));
    assert!(matches!(
        link.on_frame(reply(seq, LinkStatus::Connected, 8, 8)),
        Err(LinkError::Status { .. })
    ));

    let mut link = bound();
    for n in 0..UNDELIVERED_MAX as u64 {
        link.on_frame(Frame::Msg(numbered(2 * n + 1, n))).unwrap();
    }
    assert_eq!(
        link.on_frame(Frame::Msg(numbered(4001, 0))),
        Err(LinkError::TooManyUndelivered)
    );
}

#[test]
fn sent_messages_have_a_bound() {
    let mut link = bound();
    for n in 0..UNACKED_MAX as u64 {
        link.send(numbered(0, n)).unwrap();
    }
    assert_eq!(link.send(numbered(0, 0)), Err(Full));
}
