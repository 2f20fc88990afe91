//! Dead letters of the running bridge, over HTTP and with haxctl: Consul forbids it to write the
//! status of process 2, and of no other.

use halink::{ProcessEvent, ProcessType};
use hax::sim::client::{Delivery, SimProcess};
use serde_json::{Value, json};

use crate::ctl::{expect, haxctl};
use crate::harness::{Bridge, Guarded, process, soon};

const ALL: &str = r#"key_prefix "process" { policy = "write" }"#;

/// A bridge that has refused one event of process 2, and gone on.
struct Scene {
    guarded: Guarded,
    bridge: Bridge,
    ios: SimProcess,
    other: SimProcess,
}

impl Scene {
    /// Returns the delivery of that event, too.
    async fn begin() -> (Self, Delivery) {
        let key = format!("processes/{}", process(2));
        let rules = format!(r#"{ALL} key "{key}" {{ policy = "read" }}"#);
        let guarded = Guarded::start(2, &rules).await;
        let bridge = Bridge::start_with(&guarded.cluster, guarded.settings()).await;
        let (ios, other) = (bridge.sim(2).await, bridge.sim(3).await);
        let refused = say(&ios, ProcessEvent::Starting).await;
        delivered(say(&other, ProcessEvent::Starting).await).await;
        let scene = Self {
            guarded,
            bridge,
            ios,
            other,
        };
        scene.wait_ids(&[1]).await;
        (scene, refused)
    }

    async fn mend(&self) {
        self.guarded.allow(ALL).await;
    }

    /// Waits until these letters are there, and returns them as `/v1/status` shows them.
    async fn wait_ids(&self, wanted: &[u64]) -> Value {
        let what = format!("letters {wanted:?}");
        let met = |status: &Value| ids(&status["dead_letters"]) == wanted;
        self.bridge.wait_status(&what, met).await["dead_letters"].clone()
    }

    /// What `haxctl dead-letters` prints.
    async fn haxctl(&self, args: &[&str]) -> String {
        let url = self.bridge.url();
        let before = ["dead-letters", "--hax", &url];
        let output = haxctl(&[&before, args].concat()).await;
        expect(&output, 0);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every event is delivered and none is a letter.
    async fn settled(&self) {
        soon("every event to be delivered", self.ios.wait_all_delivered())
            .await
            .unwrap();
        self.wait_ids(&[]).await;
        assert_eq!(self.haxctl(&[]).await, "no dead letters\n");
    }
}

fn ids(letters: &Value) -> Vec<u64> {
    let letters = letters.as_array().unwrap().iter();
    letters
        .map(|letter| letter["id"].as_u64().unwrap())
        .collect()
}

async fn say(sim: &SimProcess, event: ProcessEvent) -> Delivery {
    sim.process_event(event, ProcessType::M0d).await.unwrap()
}

async fn delivered(delivery: Delivery) {
    soon("an event to be delivered", delivery.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_event_is_listed_and_written_when_it_is_replayed_after_mending() {
    let (scene, refused) = Scene::begin().await;
    let letters = scene.wait_ids(&[1]).await;
    let (_, _, link) = scene.ios.state().borrow().link.unwrap();
    let letter = &letters[0];
    let what = format!("M0_HA_MSG_EVENT_PROCESS of {}", process(2));
    assert_eq!(letter["process"], process(2).to_string());
    assert_eq!(letter["event"], "M0_CONF_HA_PROCESS_STARTING");
    assert_eq!(letter["link"], link);
    assert_eq!(letter["what"], what);
    let error = letter["error"].as_str().unwrap();
    assert!(error.contains("Permission denied"), "{error}");

    let text = scene.haxctl(&[]).await;
    for part in [what.as_str(), "M0_CONF_HA_PROCESS_STARTING", error] {
        assert!(text.contains(part), "{part:?} in {text}");
    }
    let listed: Value = serde_json::from_str(&scene.haxctl(&["--json"]).await).unwrap();
    assert_eq!(listed, json!({ "dead_letters": letters }));

    // While the cause is there a replayed letter is a letter again.
    assert_eq!(scene.haxctl(&["replay", "--all"]).await, "replayed: 1\n");
    scene.wait_ids(&[2]).await;
    assert_eq!(scene.ios.state().borrow().unacked, 1);
    assert_eq!(scene.guarded.cluster.stored(2).await, None);
    let gone = haxctl(&["dead-letters", "--hax", &scene.bridge.url(), "replay", "1"]).await;
    assert!(!gone.status.success(), "{gone:?}");

    scene.mend().await;
    let replayed: Value =
        serde_json::from_str(&scene.haxctl(&["replay", "2", "--json"]).await).unwrap();
    assert_eq!(replayed, json!({ "replayed": [2] }));
    scene.settled().await;
    delivered(refused).await;
    scene.guarded.cluster.wait_stored(2, "STARTING").await;
}

#[tokio::test]
async fn a_discarded_letter_is_acknowledged_and_never_written() {
    let (scene, refused) = Scene::begin().await;
    // It could be written now.
    scene.mend().await;
    assert_eq!(scene.haxctl(&["discard", "1"]).await, "discarded: 1\n");
    scene.settled().await;
    delivered(refused).await;
    // What the queue was given before this one has been handled.
    delivered(say(&scene.other, ProcessEvent::Started).await).await;
    scene.guarded.cluster.wait_stored(3, "STARTED").await;
    assert_eq!(scene.guarded.cluster.stored(2).await, None);
}

#[tokio::test]
async fn a_later_event_of_the_process_supersedes_its_letter() {
    let (scene, refused) = Scene::begin().await;
    scene.mend().await;
    delivered(say(&scene.ios, ProcessEvent::Started).await).await;
    scene.settled().await;
    delivered(refused).await;
    let superseded = scene.bridge.counter("dead_letters_superseded").await;
    assert_eq!(superseded, 1);
    scene.guarded.cluster.wait_stored(2, "STARTED").await;
    assert_eq!(
        scene.haxctl(&["replay", "--all"]).await,
        "nothing replayed\n"
    );
}
