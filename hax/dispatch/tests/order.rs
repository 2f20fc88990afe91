//! Mode `queue`: one order.

use tokio::time::advance;

use super::super::{PAUSE, RUN_MAX};
use super::*;

#[tokio::test(start_paused = true)]
async fn requests_are_handled_one_after_another_in_the_order_of_arrival() {
    let fixture = start(true);
    let requests = [
        named("a"),
        entrypoint(1, 1),
        named("b"),
        entrypoint(2, 2),
        named("c"),
    ];
    fixture.push(requests).await;
    fixture.fake.wait(5).await;
    let expected = ["a", "reply 1", "b", "reply 2", "c"];
    assert_eq!(fixture.fake.names(), expected);
}

#[tokio::test(start_paused = true)]
async fn entrypoint_requests_overtake_a_retried_head_at_their_bound_and_only_then() {
    let fixture = start(false);
    fixture.push([named("head")]).await;
    fixture.push([entrypoint(1, 1), entrypoint(2, 2)]).await;
    advance(TIMEOUT / 2).await;
    let late = [named("behind"), entrypoint(3, 3)];
    fixture.push(late).await;
    let done = fixture.fake.wait(3).await;
    let again = |number: u64, after| (format!("again {number}"), after);
    let expected = [
        again(1, TIMEOUT),
        again(2, TIMEOUT),
        again(3, TIMEOUT / 2 + TIMEOUT),
    ];
    assert_eq!(done, expected);
    fixture.fake.set_open(true);
    fixture.fake.wait(5).await;
    assert_eq!(fixture.fake.names()[3..], ["head", "behind"]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_asks_again_at_once_is_told_eagain_at_the_end_of_the_next_bound() {
    let fixture = start(false);
    fixture.push([named("head")]).await;
    fixture.push([entrypoint(1, 0)]).await;
    for number in 1..=5 {
        fixture.fake.wait(usize::try_from(number).unwrap()).await;
        fixture.push([entrypoint(1, number)]).await;
    }
    let times: Vec<_> = fixture
        .fake
        .wait(6)
        .await
        .into_iter()
        .map(|(_, at)| at)
        .collect();
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(gaps, [PAUSE + TIMEOUT; 5]);
}

#[tokio::test(start_paused = true)]
async fn messages_pass_a_paused_request_and_later_entrypoint_requests_do_not() {
    let fixture = start(false);
    fixture.push([entrypoint(1, 1)]).await;
    fixture.fake.wait(1).await;
    fixture.fake.set_open(true);
    let paused = fixture.fake.made.elapsed();
    let requests = [entrypoint(1, 2), entrypoint(2, 3), named("a"), named("b")];
    fixture.push(requests).await;
    let done = fixture.fake.wait(5).await;
    let expected = [
        ("again 1 in its turn".to_owned(), TIMEOUT),
        ("a".to_owned(), paused),
        ("b".to_owned(), paused),
        ("reply 2".to_owned(), paused + PAUSE),
        ("reply 3".to_owned(), paused + PAUSE),
    ];
    assert_eq!(done, expected);
}

#[tokio::test(start_paused = true)]
async fn the_request_in_hand_and_those_behind_are_given_up_when_cancelled() {
    let mut fixture = start(false);
    fixture.push([named("head")]).await;
    fixture.waiting(0).await;
    fixture.push([named("next")]).await;
    fixture.waiting(1).await;
    assert_eq!(
        fixture.dispatcher.progress().in_hand.map(|(name, _)| name),
        Some("head".to_owned())
    );
    fixture.cancel.cancel();
    fixture.task.await.unwrap();
    fixture.fake.set_open(true);
    fixture.dispatcher.push(named("late")).await;
    assert_eq!(fixture.fake.names(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_behind_a_retried_head_keep_their_order() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let mut fixture = start(false);
    fixture.push([named("head")]).await;
    fixture.waiting(0).await;
    let messages = NAMES.iter().cycle().take(1_000);
    fixture.push(messages.clone().map(|name| named(name))).await;
    fixture.waiting(1_000).await;
    fixture.fake.set_open(true);
    fixture.fake.wait(1_001).await;
    assert!(fixture.fake.names()[1..].iter().eq(messages));
    let runs = fixture.fake.runs();
    assert_eq!(runs[0], 1);
    assert!(runs[1..15].iter().all(|run| *run == RUN_MAX));
}

#[tokio::test(start_paused = true)]
async fn what_is_adjacent_and_alike_is_one_run_and_nothing_else_is() {
    let mut fixture = start(false);
    fixture.push([named("head")]).await;
    fixture.waiting(0).await;
    let requests = [
        named("a"),
        named("b"),
        message("c", 1, 2),
        message("d", 1, 3),
        named("e"),
        entrypoint(1, 1),
        entrypoint(2, 2),
        named("f"),
    ];
    fixture.push(requests).await;
    fixture.waiting(8).await;
    fixture.fake.set_open(true);
    fixture.fake.wait(9).await;
    assert_eq!(fixture.fake.runs(), [1, 2, 2, 1, 2, 1]);
    let expected = ["head", "a", "b", "c", "d", "e", "reply 1", "reply 2", "f"];
    assert_eq!(fixture.fake.names(), expected);
}

#[tokio::test(start_paused = true)]
async fn from_its_bound_on_the_queue_gives_up_what_is_superseded_and_nothing_else() {
    let mut fixture = start(false);
    fixture.push([named("head")]).await;
    fixture.waiting(0).await;
    fixture.push([message("old", 2, 7)]).await;
    fixture.push([message("kept below the bound", 2, 7)]).await;
    fixture.push((2..FOLD_FROM).map(|_| named("waits"))).await;
    fixture.waiting(FOLD_FROM).await;
    fixture.push([message("another link", 2, 8)]).await;
    fixture
        .push([named("another kind"), message("new", 2, 7)])
        .await;
    fixture.waiting(FOLD_FROM + 2).await;
    assert_eq!(fixture.fake.names(), ["kept below the bound superseded"]);
    fixture.fake.set_open(true);
    fixture.fake.wait(FOLD_FROM + 4).await;
    let names = fixture.fake.names();
    assert_eq!(
        names[..3],
        ["kept below the bound superseded", "head", "old"]
    );
    assert_eq!(
        names[names.len() - 3..],
        ["another link", "another kind", "new"]
    );
}
