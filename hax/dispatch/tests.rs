//! The dispatcher in paused time, with a handler that writes down what is asked of it.

use std::sync::Mutex;
use std::time::Duration;

use halink::{Fid, RequestId};
use tokio::sync::watch;
use tokio::time::{Instant, advance, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{Answer, Dispatcher, Handler, PAUSE, Request};

const TIMEOUT: Duration = Duration::from_secs(3);

/// What the handler has done, and how long after its making.
type Done = (String, Duration);

/// Messages are handled, and entrypoint requests answered, as long as it is open; while it is
/// shut messages wait, as in a retry, and entrypoint requests end in EAGAIN.
struct Fake {
    open: watch::Sender<bool>,
    made: Instant,
    done: Mutex<Vec<Done>>,
    count: watch::Sender<usize>,
}

impl Fake {
    fn new(open: bool) -> std::sync::Arc<Self> {
        std::sync::Arc::new(Self {
            open: watch::Sender::new(open),
            made: Instant::now(),
            done: Mutex::default(),
            count: watch::Sender::new(0),
        })
    }

    fn note(&self, what: String) {
        self.done.lock().unwrap().push((what, self.made.elapsed()));
        self.count.send_modify(|count| *count += 1);
    }

    fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Waits until this much was done.
    async fn wait(&self, count: usize) -> Vec<Done> {
        let mut counted = self.count.subscribe();
        counted.wait_for(|n| *n >= count).await.unwrap();
        self.done.lock().unwrap().clone()
    }

    fn names(&self) -> Vec<String> {
        let done = self.done.lock().unwrap();
        done.iter().map(|(what, _)| what.clone()).collect()
    }
}

impl Handler for Fake {
    type Message = &'static str;

    async fn entrypoint(&self, request: halink::EntrypointRequest, deadline: Instant) -> Answer {
        let mut open = self.open.subscribe();
        let answered = timeout_at(deadline, open.wait_for(|open| *open)).await;
        let number = request.req_id.lo;
        if answered.is_ok() {
            self.note(format!("reply {number}"));
            Answer::Reply
        } else {
            self.note(format!("again {number} in its turn"));
            Answer::Again
        }
    }

    async fn again(&self, request: halink::EntrypointRequest) {
        self.note(format!("again {}", request.req_id.lo));
    }

    async fn message(&self, message: &'static str) {
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        self.note(message.to_owned());
    }
}

fn entrypoint(process: u64, number: u64) -> Request<&'static str> {
    Request::Entrypoint(halink::EntrypointRequest {
        req_id: RequestId { hi: 0, lo: number },
        endpoint: String::new(),
        process: Fid::new(0x7200_0000_0000_0001, process),
        git_rev: String::new(),
        pid: 1,
        first: false,
    })
}

struct Fixture {
    fake: std::sync::Arc<Fake>,
    dispatcher: Dispatcher<&'static str>,
    cancel: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn start(open: bool) -> Fixture {
    let fake = Fake::new(open);
    let cancel = CancellationToken::new();
    let (dispatcher, task) =
        Dispatcher::spawn(std::sync::Arc::clone(&fake), TIMEOUT, cancel.clone());
    Fixture {
        fake,
        dispatcher,
        cancel,
        task,
    }
}

impl Fixture {
    async fn push(&self, requests: impl IntoIterator<Item = Request<&'static str>>) {
        for request in requests {
            self.dispatcher.push(request).await;
        }
    }

    /// Waits until the dispatcher has this much waiting behind the request in hand.
    async fn waiting(&mut self, count: usize) {
        let progress = &mut self.dispatcher.progress;
        let met = progress.wait_for(|now| now.waiting == count && now.in_hand.is_some());
        met.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_handled_one_after_another_in_the_order_of_arrival() {
    let fixture = start(true);
    let requests = [
        Request::Message("a"),
        entrypoint(1, 1),
        Request::Message("b"),
        entrypoint(2, 2),
        Request::Message("c"),
    ];
    fixture.push(requests).await;
    fixture.fake.wait(5).await;
    let expected = ["a", "reply 1", "b", "reply 2", "c"];
    assert_eq!(fixture.fake.names(), expected);
}

#[tokio::test(start_paused = true)]
async fn entrypoint_requests_overtake_a_retried_head_at_their_bound_and_only_then() {
    let fixture = start(false);
    fixture.push([Request::Message("head")]).await;
    fixture.push([entrypoint(1, 1), entrypoint(2, 2)]).await;
    advance(TIMEOUT / 2).await;
    let late = [Request::Message("behind"), entrypoint(3, 3)];
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
    fixture.push([Request::Message("head")]).await;
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
    let requests = [
        entrypoint(1, 2),
        entrypoint(2, 3),
        Request::Message("a"),
        Request::Message("b"),
    ];
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
    fixture
        .push([Request::Message("head"), Request::Message("next")])
        .await;
    fixture.waiting(1).await;
    assert_eq!(
        fixture.dispatcher.progress().in_hand.map(|(name, _)| name),
        Some("head".to_owned())
    );
    fixture.cancel.cancel();
    fixture.task.await.unwrap();
    fixture.fake.set_open(true);
    fixture.dispatcher.push(Request::Message("late")).await;
    assert_eq!(fixture.fake.names(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_behind_a_retried_head_keep_their_order() {
    const NAMES: [&str; 4] = ["a", "b", "c", "d"];
    let mut fixture = start(false);
    fixture.push([Request::Message("head")]).await;
    let messages = NAMES.iter().cycle().take(1_000);
    fixture
        .push(messages.clone().map(|name| Request::Message(*name)))
        .await;
    fixture.waiting(1_000).await;
    fixture.fake.set_open(true);
    fixture.fake.wait(1_001).await;
    assert!(fixture.fake.names()[1..].iter().eq(messages));
}
