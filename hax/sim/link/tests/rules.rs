//! Each rule of 6/WIRE by itself.

use super::{identity, numbered, reply};
use crate::sim::link::{
    Full, Incoming, Link, LinkError, REQUESTS_MAX, UNACKED_MAX, UNDELIVERED_MAX,
};
use crate::sim::wire::{EntrypointReq, Frame, LinkStatus};

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
