use halink::{
    Error, Event, FailureVec, Interface, Lifecycle, LinkId, Message, ProcessEvent, ProcessType,
    ReplyError,
};
use tokio::net::UnixListener;

use crate::fixture::{BRIDGE, Bridge, Turn, acknowledge, reply, request, stop};

#[tokio::test]
async fn starts_stops_and_starts_again() {
    let turn = Turn::take().await;
    for _ in 0..3 {
        let (interface, mut events) = turn.spawn();
        let own = request(&mut events).await;
        assert_eq!((own.process, own.first), (BRIDGE, true));
        assert_eq!(interface.lifecycle(), Lifecycle::Starting);
        interface
            .handle()
            .entrypoint_reply(own.req_id, &reply())
            .await
            .unwrap();
        interface.started().await.unwrap();
        assert_eq!(interface.lifecycle(), Lifecycle::Started);
        interface.started().await.unwrap();
        let acknowledge = async {
            let mut seen = Vec::new();
            while let Some(event) = events.recv().await {
                if let Event::Message(received) = event {
                    if let Message::Process(status) = &received.message {
                        assert_eq!(status.kind, ProcessType::M0d);
                        assert_eq!(status.pid, u64::from(std::process::id()));
                        seen.push(status.event);
                    }
                    received.delivered().await;
                }
            }
            seen
        };
        let (result, seen) = tokio::join!(interface.stop(), acknowledge);
        result.unwrap();
        assert_eq!(
            seen,
            [
                ProcessEvent::Starting,
                ProcessEvent::Started,
                ProcessEvent::Stopping,
                ProcessEvent::Stopped
            ]
        );
    }
}

#[tokio::test]
async fn one_interface_at_a_time() {
    let bridge = Bridge::start().await;
    for _ in 0..2 {
        let error = Interface::spawn(bridge.turn.config()).unwrap_err();
        assert!(error.is_already_open(), "{error}");
    }
    let turn = bridge.stop().await;
    Bridge::start_in(turn).await.stop().await;
}

#[tokio::test]
async fn a_start_that_nobody_answers_can_be_stopped() {
    let turn = Turn::take().await;
    let (interface, mut events) = turn.spawn();
    request(&mut events).await;
    // Nobody is asked any more.
    let rest = async {
        while let Some(event) = events.recv().await {
            match event {
                Event::Entrypoint(request) => panic!("{request:?}"),
                Event::Message(received) => received.delivered().await,
                _ => {}
            }
        }
    };
    let (result, ()) = tokio::join!(interface.stop(), rest);
    result.unwrap();
}

#[tokio::test]
async fn a_start_that_is_put_off_can_be_stopped() {
    let turn = Turn::take().await;
    let (interface, mut events) = turn.spawn();
    for first in [true, false, false] {
        let own = request(&mut events).await;
        assert_eq!(own.first, first);
        interface
            .handle()
            .entrypoint_again(own.req_id)
            .await
            .unwrap();
    }
    // Whether the next request has come yet or not.
    stop(interface, &mut events).await;
}

#[tokio::test]
async fn a_reply_that_comes_too_late_is_told_so() {
    let turn = Turn::take().await;
    let (interface, mut events) = turn.spawn();
    let own = request(&mut events).await;
    let handle = interface.handle();
    stop(interface, &mut events).await;
    let error = handle
        .entrypoint_reply(own.req_id, &reply())
        .await
        .unwrap_err();
    assert_eq!(error, ReplyError::Stopped);
}

#[tokio::test]
async fn an_endpoint_of_no_known_form_is_an_error_of_the_start() {
    let turn = Turn::take().await;
    let mut config = turn.config();
    config.endpoint = "carrier:pigeon".to_owned();
    let (interface, mut events) = Interface::spawn(config).unwrap();
    let error = interface.started().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot start the HA interface at carrier:pigeon: EINVAL (22)"
    );
    interface.stop().await.unwrap();
    assert!(events.recv().await.is_none());
    Bridge::start_in(turn).await.stop().await;
}

#[tokio::test]
async fn an_endpoint_in_use_is_an_error_of_the_start() {
    let turn = Turn::take().await;
    let _listener = UnixListener::bind(&turn.socket).unwrap();
    let (interface, _events) = turn.spawn();
    match interface.started().await.unwrap_err() {
        Error::Start { errno, .. } => assert_eq!(errno.name(), Some("EADDRINUSE")),
        other => panic!("{other}"),
    }
    interface.stop().await.unwrap();
}

#[tokio::test]
async fn a_nul_does_not_reach_the_library() {
    let turn = Turn::take().await;
    let mut config = turn.config();
    config.endpoint.push('\0');
    assert!(matches!(
        Interface::spawn(config),
        Err(Error::Nul("endpoint"))
    ));
    let mut config = turn.config();
    config.node_uuid = Some("\0".to_owned());
    assert!(matches!(
        Interface::spawn(config),
        Err(Error::Nul("UUID of the node"))
    ));
}

#[tokio::test]
async fn a_dropped_interface_stops() {
    let turn = Turn::take().await;
    for answered in [true, false] {
        let (interface, mut events) = turn.spawn();
        let own = request(&mut events).await;
        if answered {
            interface
                .handle()
                .entrypoint_reply(own.req_id, &reply())
                .await
                .unwrap();
            interface.started().await.unwrap();
        }
        drop(interface);
        // The end of the events comes after the end of the interface.
        acknowledge(&mut events).await;
    }
    Bridge::start_in(turn).await.stop().await;
}

#[tokio::test]
async fn a_handle_outlives_the_interface() {
    let bridge = Bridge::start().await;
    let handle = bridge.handle.clone();
    let own = bridge.own_link.id;
    bridge.stop().await;
    let error = handle
        .send_failure_vec(own, &FailureVec::stub([0, 0]))
        .await
        .unwrap_err();
    assert!(error.is_stopped());
    let error = handle
        .send_failure_vec(LinkId(0), &FailureVec::stub([0, 0]))
        .await
        .unwrap_err();
    assert!(error.is_stopped());
}

#[test]
fn the_backend_has_a_name_and_a_version() {
    assert!(["embedded", "libmotr"].contains(&halink::backend().as_str()));
    assert!(!halink::version().is_empty());
}
