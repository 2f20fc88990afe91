use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::fence::files::message::now;
use crate::fence::model::Action;

struct Place {
    root: tempfile::TempDir,
    exchange: Exchange,
    pending: Pending,
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let dir = |name: &str| root.path().join(name);
    let exchange = Exchange::make(&dir("requests"), &dir("responses")).unwrap();
    let target = "ssu1".parse().unwrap();
    let request = Request::new(Action::Off, target, "m1".to_owned());
    let pending = exchange.publish(request).unwrap();
    Place {
        root,
        exchange,
        pending,
    }
}

impl Place {
    /// The right response, with a change.
    fn answer(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut answer = json!({
            "request_id": self.pending.request.request_id,
            "success": true,
            "action_performed": "off",
            "target_node": "ssu1",
            "message": "done",
            "timestamp": now(),
        });
        change(&mut answer);
        answer.to_string()
    }

    /// Where the response is looked for.
    fn place(&self) -> PathBuf {
        let name = self.pending.name.to_string();
        self.root.path().join("responses").join(name)
    }

    fn aside(&self) -> PathBuf {
        let aside = self.root.path().join("aside");
        std::fs::write(&aside, self.answer(|_| {})).unwrap();
        aside
    }

    fn hear(&self) -> Heard {
        self.exchange.hear(&self.pending)
    }
}

#[test]
fn a_right_response_is_heard() {
    let place = place();
    assert!(matches!(place.hear(), Heard::Nothing));
    std::fs::write(place.place(), place.answer(|_| {})).unwrap();
    let heard = place.hear();
    assert!(
        matches!(&heard, Heard::Answer(response) if response.success),
        "{heard:?}"
    );
}

#[test]
fn a_response_that_contradicts_is_final() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("text", |it| it["success"] = json!("true")),
        ("request", |it| {
            it["request_id"] = json!("550e8400-e29b-41d4-a716-446655440000");
        }),
        ("target", |it| it["target_node"] = json!("ssu2")),
        ("action", |it| it["action_performed"] = json!("on")),
        ("time", |it| it["timestamp"] = json!("2025-10-20T14:30:15Z")),
    ];
    for (what, change) in changes {
        let place = place();
        std::fs::write(place.place(), place.answer(change)).unwrap();
        let heard = place.hear();
        assert!(matches!(heard, Heard::Wrong(_)), "{what}: {heard:?}");
    }
}

#[test]
fn half_a_response_and_a_foreign_one_are_waited_on() {
    let half = place();
    let whole = half.answer(|_| {});
    std::fs::write(half.place(), &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(half.hear(), Heard::Unfit(_)));
    let linked = place();
    symlink(linked.aside(), linked.place()).unwrap();
    assert!(matches!(linked.hear(), Heard::Unfit(_)));
    let twice = place();
    std::fs::hard_link(twice.aside(), twice.place()).unwrap();
    assert!(matches!(twice.hear(), Heard::Unfit(_)));
    if rustix::process::geteuid().is_root() {
        let foreign = place();
        let aside = foreign.aside();
        std::os::unix::fs::chown(&aside, Some(54_321), None).unwrap();
        std::fs::rename(aside, foreign.place()).unwrap();
        assert!(matches!(foreign.hear(), Heard::Unfit(_)));
    } else {
        println!("skipped: only root can give a file away");
    }
}

#[test]
fn a_request_is_not_published_where_its_response_is_already() {
    let place = place();
    let again = place.pending.request.clone();
    std::fs::write(place.place(), place.answer(|_| {})).unwrap();
    let published = place.exchange.publish(again);
    assert!(
        matches!(published, Err(Unpublished::Answered(_))),
        "{published:?}"
    );
}

#[test]
fn a_withdrawal_says_who_has_the_request() {
    let place = place();
    assert_eq!(
        place.exchange.withdraw(&place.pending).unwrap(),
        Withdrawn::Back
    );
    let requests = || place.exchange.requests.names(9).unwrap();
    assert_eq!(requests(), Vec::<String>::new());
    // It is gone from its place: taken, as far as anybody can know.
    assert_eq!(
        place.exchange.withdraw(&place.pending).unwrap(),
        Withdrawn::Taken
    );
    assert_eq!(requests(), [place.pending.name.cancel_mark()]);
}
