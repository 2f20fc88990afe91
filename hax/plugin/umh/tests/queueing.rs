//! How many run, in which order, and what is left out.

use std::time::Duration;

use tokio::sync::oneshot;

use super::*;

/// Waits for a file `go`, with a mark as long as it runs.
const MARKED: &str = r#": > "$1/running.$HAX_PROCESS"
    ls "$1" | grep -c '^running' > "$1/seen.$HAX_PROCESS"
    until [ -e "$1/go" ]; do sleep 0.02; done
    rm "$1/running.$HAX_PROCESS""#;

#[tokio::test]
async fn no_more_run_at_once_than_may() {
    let dir = TempDir::new().unwrap();
    let rules = vec![rule("marked", dir.path(), MARKED)];
    at_work(config(2, 8, rules), async |probe: std::rc::Rc<Probe>| {
        for process in ["a", "b", "c", "d", "e", "f"] {
            probe.set(process, "A");
        }
        probe.counted("pending", 4).await;
        assert_eq!(probe.count("running"), 2);
        until(|| names(&dir, "running").len() == 2).await;
        touch(&dir, "go");
        probe.counted("runs", 6).await;
    })
    .await;
    let seen = names(&dir, "seen");
    assert_eq!(seen.len(), 6);
    for name in seen {
        let number = std::fs::read_to_string(dir.path().join(&name)).unwrap();
        assert!(["1", "2"].contains(&number.trim()), "{name}: {number}");
    }
}

#[tokio::test]
async fn what_does_not_fit_is_counted_and_later_there_is_room_again() {
    let dir = TempDir::new().unwrap();
    let rules = vec![rule("marked", dir.path(), MARKED)];
    let shown = at_work(config(1, 1, rules), async |probe: std::rc::Rc<Probe>| {
        for process in ["a", "b", "c", "d"] {
            probe.set(process, "A");
        }
        probe.counted("dropped", 2).await;
        touch(&dir, "go");
        probe.counted("runs", 2).await;
        probe.set("e", "A");
        probe.counted("runs", 3).await;
    })
    .await;
    assert_eq!(shown["dropped"], 2);
    assert_eq!(shown["failed"], 0);
    let mut seen = names(&dir, "seen");
    seen.sort();
    assert_eq!(seen, ["seen.a", "seen.b", "seen.e"]);
}

#[tokio::test]
async fn runs_for_one_object_keep_their_order_and_hold_no_other_up() {
    let dir = TempDir::new().unwrap();
    let script = r#"if [ "$HAX_PROCESS$HAX_STATE" = a1 ]; then
            until [ -e "$1/go" ]; do sleep 0.02; done
        fi
        echo "$HAX_STATE" >> "$1/of.$HAX_PROCESS""#;
    let rules = vec![rule("tell", dir.path(), script)];
    at_work(config(8, 16, rules), async |probe: std::rc::Rc<Probe>| {
        for state in ["1", "2", "3", "4"] {
            probe.set("a", state);
            probe.set("b", state);
        }
        // All of b, and a waits for its first.
        probe.counted("runs", 4).await;
        assert_eq!(probe.count("running"), 1);
        assert_eq!(names(&dir, "of"), ["of.b"]);
        touch(&dir, "go");
        probe.counted("runs", 8).await;
    })
    .await;
    for name in ["of.a", "of.b"] {
        let states = std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(states, "1\n2\n3\n4\n", "{name}");
    }
}

#[tokio::test]
async fn missed_events_are_counted_and_run_nothing() {
    let dir = TempDir::new().unwrap();
    let hub = Hub::default();
    let stop = CancellationToken::new();
    let (context, probe) = context(&hub, 2, &stop);
    for state in ["1", "2", "3"] {
        probe.set("a", state);
    }
    let script = r#"echo "$HAX_STATE" >> "$1/states""#;
    let config = config(1, 8, vec![rule("tell", dir.path(), script)]);
    let mut running = Box::new(Umh::prepare(config, "here").unwrap()).run(context);
    tokio::select! {
        _ = &mut running => panic!("the instance has ended"),
        () = async {
            probe.counted("missed", 3).await;
            probe.set("a", "4");
            probe.counted("runs", 1).await;
        } => {}
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(
        std::fs::read_to_string(dir.path().join("states")).unwrap(),
        "4\n"
    );
}

#[tokio::test]
async fn orders_are_refused() {
    let dir = TempDir::new().unwrap();
    let rules = vec![rule("tell", dir.path(), ":")];
    at_work(config(1, 1, rules), async |probe: std::rc::Rc<Probe>| {
        let (reply, answer) = oneshot::channel();
        let order = Order::Evict {
            resource: None,
            to: None,
            timeout: Duration::from_secs(1),
            keep_masked: false,
            unmask: false,
            reply,
        };
        probe.orders.send(order).await.unwrap();
        let failure = answer.await.unwrap().unwrap_err();
        assert!(failure.to_string().contains("umh"), "{failure}");
    })
    .await;
}
