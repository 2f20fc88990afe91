//! Mode `lanes`: order of each link and of each process.

use super::super::{PAUSE, RUN_MAX};
use super::*;

#[tokio::test(start_paused = true)]
async fn others_pass_a_retried_head_and_its_own_do_not() {
    let mut fixture = start_as(Mode::Lanes, false);
    fixture.push([message("head", 0, 1)]).await;
    fixture.waiting(0).await;
    // Kind 1 is handled even while the handler is shut.
    let requests = [
        message("own", 1, 1),
        message("other", 1, 2),
        Request::Message(Note {
            name: "of another link about the same process",
            kind: 1,
            link: 3,
            process: Some(1),
        }),
        Request::Message(Note {
            name: "behind that link",
            kind: 1,
            link: 3,
            process: None,
        }),
    ];
    fixture.push(requests).await;
    fixture.fake.wait(1).await;
    fixture.waiting(3).await;
    assert_eq!(fixture.fake.names(), ["other"]);
    fixture.fake.set_open(true);
    fixture.fake.wait(5).await;
    let expected = [
        "other",
        "head",
        "own",
        "of another link about the same process",
        "behind that link",
    ];
    assert_eq!(fixture.fake.names(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_paused_process_holds_back_itself_alone() {
    let fixture = start_as(Mode::Lanes, false);
    fixture.push([entrypoint(1, 1)]).await;
    fixture.fake.wait(1).await;
    fixture.fake.set_open(true);
    let paused = fixture.fake.made.elapsed();
    fixture
        .push([entrypoint(1, 2), message("its own", 0, 1), entrypoint(2, 3)])
        .await;
    let done = fixture.fake.wait(4).await;
    let expected = [
        ("again 1 in its turn".to_owned(), TIMEOUT),
        ("reply 3".to_owned(), paused),
        ("reply 2".to_owned(), paused + PAUSE),
        ("its own".to_owned(), paused + PAUSE),
    ];
    assert_eq!(done, expected);
}

#[tokio::test(start_paused = true)]
async fn an_entrypoint_request_behind_a_retried_message_of_its_process_expires() {
    let fixture = start_as(Mode::Lanes, false);
    fixture.push([message("head", 0, 1)]).await;
    fixture.push([entrypoint(1, 1)]).await;
    let done = fixture.fake.wait(1).await;
    assert_eq!(done, [("again 1".to_owned(), TIMEOUT)]);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_runs_are_in_hand() {
    let mut fixture = start_as(Mode::Lanes, false);
    for n in 0..20 {
        fixture.push([message("head", 0, n)]).await;
        // Each is in hand, or waits for room, before the next comes: so none of them join.
        let in_hand = (n as usize + 1).min(super::super::LANES);
        let waiting = (n as usize + 1) - in_hand;
        let progress = &mut fixture.dispatcher.progress;
        let met = progress.wait_for(|now| now.runs == in_hand && now.waiting == waiting);
        timeout(EVER, met).await.unwrap().unwrap();
    }
    fixture.fake.set_open(true);
    fixture.fake.wait(20).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_has_its_bound() {
    let mut fixture = start_as(Mode::Lanes, false);
    fixture.push([named("head")]).await;
    fixture.waiting(0).await;
    fixture.push((0..RUN_MAX + 1).map(|_| named("next"))).await;
    fixture.waiting(RUN_MAX + 1).await;
    fixture.fake.set_open(true);
    fixture.fake.wait(RUN_MAX + 2).await;
    assert_eq!(fixture.fake.runs(), [1, RUN_MAX, 1]);
}
