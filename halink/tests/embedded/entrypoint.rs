use halink::{Confd, Event, Fid, ReplyError};

use crate::client::{CONNECTED, Client, REUSED};
use crate::fixture::{PROCESS, Turn, reply, request, stop};

#[tokio::test]
async fn a_request_is_answered_from_another_task() {
    let turn = Turn::take().await;
    let (interface, mut events) = turn.spawn();
    let handle = interface.handle();
    let own = request(&mut events).await;
    handle.entrypoint_reply(own.req_id, &reply()).await.unwrap();
    interface.started().await.unwrap();

    let mut client = Client::connect(&turn.socket, PROCESS).await;
    client.request().await;
    let asked = request(&mut events).await;
    assert_eq!(asked.process, PROCESS);
    assert_eq!(asked.endpoint, "inet:tcp:127.0.0.1@22101");
    assert_eq!(
        (asked.git_rev.as_str(), asked.pid, asked.first),
        ("0123abcd", 4321, true)
    );

    let answer = {
        let handle = handle.clone();
        tokio::spawn(async move { handle.entrypoint_reply(asked.req_id, &reply()).await })
    };
    answer.await.unwrap().unwrap();
    let Some(Event::LinkConnected(link)) = events.recv().await else {
        panic!("not connected")
    };
    assert_eq!((link.req_id, link.process), (asked.req_id, PROCESS));
    assert_eq!(link.endpoint, asked.endpoint);

    let got = match client.receive().await {
        Some(crate::client::Frame::Reply(reply)) => reply,
        other => panic!("not a reply: {other:?}"),
    };
    assert_eq!((got.rc, got.status, got.quorum), (0, CONNECTED, 2));
    assert_eq!((got.rm, got.rm_endpoint), (reply().rm, reply().rm_endpoint));
    let confds: Vec<_> = got
        .confds
        .into_iter()
        .map(|(fid, endpoint)| Confd { fid, endpoint })
        .collect();
    assert_eq!(confds, reply().confds);

    // Once answered it is unknown, and a later request finds the same link.
    let error = handle
        .entrypoint_reply(asked.req_id, &reply())
        .await
        .unwrap_err();
    assert_eq!(error, ReplyError::Unknown(asked.req_id));
    client.request().await;
    let again = request(&mut events).await;
    assert!(!again.first);
    handle.entrypoint_again(again.req_id).await.unwrap();
    let Some(Event::LinkReused(reused)) = events.recv().await else {
        panic!("not reused")
    };
    assert_eq!(reused.id, link.id);
    match client.receive().await {
        Some(crate::client::Frame::Reply(reply)) => {
            assert_eq!((reply.rc, reply.status), (-11, REUSED));
        }
        other => panic!("not a reply: {other:?}"),
    }
    stop(interface, &mut events).await;
}

#[tokio::test]
async fn a_bad_reply_leaves_the_request_open() {
    let turn = Turn::take().await;
    let (interface, mut events) = turn.spawn();
    let handle = interface.handle();
    let own = request(&mut events).await;
    let mut bad = reply();
    bad.confds = vec![
        Confd {
            fid: Fid::NIL,
            endpoint: String::new()
        };
        65
    ];
    let error = handle.entrypoint_reply(own.req_id, &bad).await.unwrap_err();
    assert!(error.is_bad_reply(), "{error}");
    let mut bad = reply();
    bad.rm_endpoint = "x".repeat(256);
    let error = handle.entrypoint_reply(own.req_id, &bad).await.unwrap_err();
    assert!(error.is_bad_reply(), "{error}");
    handle.entrypoint_reply(own.req_id, &reply()).await.unwrap();
    interface.started().await.unwrap();
    stop(interface, &mut events).await;
}
