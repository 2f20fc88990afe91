use halink::{
    DeliveryOutcome, FailureVec, Fid, HaState, NOTES_MAX, Note, NvecSet, ProcessEvent,
    ProcessStatus, ProcessType, SendError,
};

use crate::client::{Client, Frame, Reader};
use crate::fixture::{Bridge, PROCESS};

fn nvec(nr: u64) -> NvecSet {
    let notes = (0..nr)
        .map(|key| Note {
            object: Fid::new(0x6b00_0000_0000_0001, key),
            state: HaState::ALL[key as usize % HaState::ALL.len()],
        })
        .collect();
    NvecSet {
        id_of_get: 42,
        ignore_same_state: true,
        notes,
    }
}

fn read_notes(reader: &mut Reader<'_>) -> Vec<Note> {
    let nr = reader.u32();
    let notes = (0..nr)
        .map(|_| Note {
            object: reader.fid(),
            state: HaState::from_raw(reader.u32()).unwrap(),
        })
        .collect();
    reader.end();
    notes
}

#[tokio::test]
async fn an_nvec_of_1024_notes_arrives_and_is_delivered() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await;
    for nr in [0, 1, NOTES_MAX as u64] {
        let sent = nvec(nr);
        let delivery = bridge.handle.send_nvec(link.id, &sent).await.unwrap();
        assert_eq!(delivery.link(), link.id);
        let message = client.receive_message().await;
        assert_eq!((message.tag, message.msg_type), (delivery.tag().0, 2));
        let mut reader = Reader(&message.body);
        assert_eq!((reader.u64(), reader.u64(), reader.u64()), (0, 42, 1));
        assert_eq!(read_notes(&mut reader), sent.notes);
        client.delivered(message.tag).await;
        assert_eq!(delivery.await, DeliveryOutcome::Delivered);
    }
    let error = bridge
        .handle
        .send_nvec(link.id, &nvec(1025))
        .await
        .unwrap_err();
    assert_eq!(error, SendError::TooManyNotes(1025));
    bridge.stop().await;
}

#[tokio::test]
async fn failure_vectors_and_process_events_arrive() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await;

    let vector = FailureVec {
        notes: nvec(3).notes,
        ..FailureVec::stub([7, 8])
    };
    let delivery = bridge
        .handle
        .send_failure_vec(link.id, &vector)
        .await
        .unwrap();
    let message = client.receive_message().await;
    assert_eq!(message.msg_type, 4);
    let mut reader = Reader(&message.body);
    assert_eq!(
        (reader.fid(), reader.u64(), reader.u64()),
        (FailureVec::STUB_POOL, 7, 8)
    );
    assert_eq!(read_notes(&mut reader), vector.notes);
    client.delivered(message.tag).await;
    assert!(delivery.await.is_delivered());

    let status = ProcessStatus {
        event: ProcessEvent::Stopped,
        kind: ProcessType::M0d,
        pid: 9,
    };
    let delivery = bridge
        .handle
        .send_process_event(link.id, PROCESS, &status)
        .await
        .unwrap();
    let message = client.receive_message().await;
    assert_eq!((message.msg_type, message.fid), (7, PROCESS));
    let mut reader = Reader(&message.body);
    assert_eq!((reader.u64(), reader.u64(), reader.u64()), (3, 3, 9));
    client.delivered(message.tag).await;
    assert!(delivery.await.is_delivered());
    bridge.stop().await;
}

/// On our own link a message is delivered at once, as a rule before the call that sends it returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delivery_that_is_faster_than_its_send_is_seen() {
    let bridge = Bridge::start().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (handle, link) = (bridge.handle.clone(), bridge.own_link.id);
            tokio::spawn(async move {
                for _ in 0..1000 {
                    let delivery = handle.send_nvec(link, &nvec(1)).await.unwrap();
                    assert_eq!(delivery.await, DeliveryOutcome::Delivered);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_process_that_acknowledges_at_once_loses_nothing() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await.id;
    let client = tokio::spawn(async move {
        let mut tags = Vec::new();
        while tags.len() < 4000 {
            let message = client.receive_message().await;
            client.delivered(message.tag).await;
            tags.push(message.tag);
        }
        assert!(tags.is_sorted_by(|a, b| a < b));
        client
    });
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let handle = bridge.handle.clone();
            tokio::spawn(async move {
                for _ in 0..1000 {
                    let delivery = handle.send_nvec(link, &nvec(2)).await.unwrap();
                    assert!(delivery.await.is_delivered());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    drop(client.await.unwrap());
    bridge.stop().await;
}

#[tokio::test]
async fn a_process_that_acknowledges_nothing_is_sent_no_more() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await.id;
    let mut deliveries = Vec::new();
    let error = loop {
        match bridge.handle.send_nvec(link, &nvec(1)).await {
            Ok(delivery) => deliveries.push(delivery),
            Err(error) => break error,
        }
    };
    assert_eq!(error, SendError::TooManyUndelivered(link));
    assert!(error.is_retryable());
    assert_eq!(deliveries.len(), 1024);
    // Somebody loses interest in half of them.
    let kept: Vec<_> = deliveries
        .into_iter()
        .enumerate()
        .filter(|(at, _)| at % 2 == 0)
        .map(|(_, d)| d)
        .collect();
    for _ in 0..1024 {
        match client.receive().await {
            Some(Frame::Message(message)) => client.delivered(message.tag).await,
            other => panic!("not a message: {other:?}"),
        }
    }
    for delivery in kept {
        assert!(delivery.await.is_delivered());
    }
    let delivery = loop {
        // The last acknowledgements of those nobody waits for may still be under way.
        match bridge.handle.send_nvec(link, &nvec(1)).await {
            Ok(delivery) => break delivery,
            Err(error) => assert!(error.is_retryable()),
        }
    };
    let tag = client.receive_message().await.tag;
    client.delivered(tag).await;
    assert!(delivery.await.is_delivered());
    bridge.stop().await;
}

#[tokio::test]
async fn a_send_whose_caller_goes_away_is_still_sent() {
    let mut bridge = Bridge::start().await;
    let mut client = Client::bound(&bridge.turn.socket, PROCESS).await;
    let link = bridge.connected().await.id;
    let handle = bridge.handle.clone();
    {
        let notes = nvec(1);
        let mut send = std::pin::pin!(handle.send_nvec(link, &notes));
        // One poll queues the command.
        let waker = std::task::Waker::noop();
        let _ = send
            .as_mut()
            .poll(&mut std::task::Context::from_waker(waker));
    }
    let tag = client.receive_message().await.tag;
    client.delivered(tag).await;
    let delivery = handle.send_nvec(link, &nvec(1)).await.unwrap();
    let tag = client.receive_message().await.tag;
    client.delivered(tag).await;
    assert!(delivery.await.is_delivered());
    bridge.stop().await;
}
