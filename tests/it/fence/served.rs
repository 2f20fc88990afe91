//! A real hax that serves request files, with devices that write down what they are asked for.

use std::process::Stdio;

use consul_client::Registration;
use hax::fence::FenceView;
use hax::fence::model::keys;

use super::responder::{Ended, Files, names};
use super::trio::recording::Agents;
use crate::harness::{Bridge, Cluster, Settings, Until, eventually};

/// Answers within seconds, or has failed.
pub(crate) const QUICK: &str = "off_timeout = '4s', on_timeout = '4s', reboot_timeout = '4s'";

pub(crate) struct Served {
    pub(crate) bridge: Bridge,
    pub(crate) files: Files,
    pub(crate) agents: Agents,
    pub(crate) cluster: Cluster,
}

impl Served {
    /// One device, `pdu`, and these nodes to fence.
    pub(crate) async fn start(targets: &[&str]) -> Self {
        Self::start_with(&[("pdu", "retries = 0")], targets, |settings| settings).await
    }

    /// Starts Consul and hax, and waits until the devices can be used. The directories are made by hax.
    pub(crate) async fn start_with(
        devices: &[(&str, &str)],
        targets: &[&str],
        change: impl FnOnce(Settings) -> Settings,
    ) -> Self {
        let (files, agents) = (Files::new(), Agents::new());
        for name in ["requests", "responses"] {
            std::fs::remove_dir(files.path(name)).unwrap();
        }
        let cluster = Cluster::small(0).await;
        for target in targets {
            let registration = Registration::new(*target, "127.0.0.1");
            let catalog = cluster.client.catalog();
            catalog.register(&registration).await.unwrap();
        }
        let devices = devices.iter().map(|(name, more)| {
            let more = format!("{QUICK}, {more}");
            agents.device((name, &more), &cluster.node)
        });
        let devices: Vec<_> = devices.collect();
        let path = |name: &str| format!("'{}'", files.path(name).display());
        let settings = Settings::default()
            .until(Until::Listening)
            .with("leader.elect", "false")
            .with("consul.timeout", "'2s'")
            .with("fence.enabled", "true")
            .with("fence.audit_file", agents.audit_file(&cluster.node))
            .with("fence.session_ttl", "'10s'")
            .with("fence.lock_delay", "'1s'")
            .with("fence.startup_grace", "'0s'")
            .with("fence.storm_targets", "1000")
            .with("fence.storm_percent", "100")
            .with("fence.loop_count", "100")
            .with("fence.files.request_dir", path("requests"))
            .with("fence.files.response_dir", path("responses"))
            .with("fence.device", format!("[{}]", devices.join(", ")));
        let bridge = Bridge::start_with(&cluster, change(settings)).await;
        let served = Self {
            bridge,
            files,
            agents,
            cluster,
        };
        served.ready().await;
        served
    }

    /// Waits until hax has published its devices.
    pub(crate) async fn ready(&self) {
        let node = self.cluster.node.parse().unwrap();
        eventually("the devices to be ready", async || {
            let view = self.view().await?;
            let peer = view.peers.get(&node)?;
            (peer.session.is_some() && !peer.record.devices.is_empty()).then_some(())
        })
        .await;
    }

    /// Everything under `fence/`.
    pub(crate) async fn view(&self) -> Option<FenceView> {
        let pairs = self.cluster.client.kv().list(keys::PREFIX).await.ok()?;
        Some(FenceView::parse(&pairs.value))
    }

    /// The recorder of an action on a target.
    pub(crate) async fn ask(&self, action: &str, target: &str) -> Ended {
        let lines = format!("action={action}\nplug={target}");
        self.files.recorder("50", &lines).await
    }

    /// What the device was asked for, begun and ended.
    pub(crate) fn runs(&self, target: &str) -> Vec<String> {
        let begun = self.agents.starts(target).into_iter();
        let begun: Vec<_> = begun.map(|line| line.action).collect();
        let ended = self.agents.ends(target).into_iter();
        let ended: Vec<_> = ended.map(|line| line.action).collect();
        assert_eq!(begun, ended, "{target}");
        begun
    }

    /// Requests that are taken.
    pub(crate) fn taken(&self) -> Vec<String> {
        names(&self.files.path("requests/.taken"))
    }

    /// Ends the sessions that hold something of fencing, as if the TTL of a killed run were over.
    pub(crate) async fn end_sessions(&self) {
        let client = &self.cluster.client;
        let pairs = client.kv().list(keys::PREFIX).await.unwrap().value;
        let sessions: std::collections::BTreeSet<_> = pairs
            .iter()
            .filter_map(|pair| pair.session.clone())
            .collect();
        for session in sessions {
            client.session().destroy(&session).await.unwrap();
        }
    }
}

#[tokio::test]
async fn requests_are_served_and_the_state_of_nodes_is_told() {
    let served = Served::start(&["ssu1", "ssu2"]).await;
    let status = async |code: i32| {
        eventually(&format!("status {code}"), async || {
            let ended = served.ask("status", "ssu1").await;
            (ended.code == Some(code)).then_some(())
        })
        .await;
    };
    let own = served.ask("status", &served.cluster.node).await;
    assert_eq!(own.code, Some(0), "{own:?}");
    let ended = served.ask("off", "ssu1").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    status(2).await;
    let ended = served.files.recorder("9", "action=list-status").await;
    assert!(ended.out.contains("ssu1,,OFF\n"), "{ended:?}");
    let ended = served.ask("on", "ssu1").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    // hax does not run there, so nothing is known but that it was switched on.
    status(1).await;
    let ended = served.ask("off", "nobody").await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("nobody"), "{ended:?}");
    assert_eq!(served.runs("ssu1"), ["off", "on"]);
    assert_eq!(served.runs("nobody"), Vec::<String>::new());
    assert_eq!(served.files.requests(), Vec::<String>::new());
    eventually("no request to be taken", async || {
        served.taken().is_empty().then_some(())
    })
    .await;
}

/// The start-up grace is for what a daemon originates by itself: who asks by a file is not kept waiting.
#[tokio::test]
async fn a_request_is_served_within_the_startup_grace() {
    let grace = |settings: Settings| settings.with("fence.startup_grace", "'600s'");
    let served = Served::start_with(&[("pdu", "retries = 0")], &["ssu1"], grace).await;
    let ended = served.ask("off", "ssu1").await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(served.runs("ssu1"), ["off"]);
}

/// What is asked while hax is away, and what it has taken but not asked for when it is killed, is done once.
#[tokio::test]
async fn a_request_that_was_taken_before_a_crash_is_served_once() {
    let mut served = Served::start(&["ssu1", "ssu2"]).await;
    // Without Consul nothing can be asked for.
    served.cluster.consul.freeze();
    let taken = served.files.start("50", "action=off\nplug=ssu1").await;
    eventually("the request to be taken", async || served.taken().pop()).await;
    served.bridge.kill();
    served.cluster.consul.thaw();
    let waits = served.files.start("50", "action=off\nplug=ssu2").await;
    eventually("a request that waits", async || {
        served.files.requests().pop()
    })
    .await;
    assert_eq!(served.view().await.unwrap().ops.len(), 0);
    served.end_sessions().await;
    served.bridge.restart().await;
    for (recorder, target) in [(taken, "ssu1"), (waits, "ssu2")] {
        let ended = super::responder::ended(recorder).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(served.runs(target), ["off"]);
    }
}

/// A recorder that is killed while the device works: the run is not tried again.
#[tokio::test]
async fn an_operation_whose_recorder_is_gone_is_cancelled_between_two_tries() {
    let served = Served::start_with(&[("pdu", "retries = 5")], &["ssu1"], |it| it).await;
    served.agents.behave("pdu.off", 1, 2.5);
    let mut recorder = served.files.start("50", "action=off\nplug=ssu1").await;
    eventually("the run", async || served.agents.starts("ssu1").pop()).await;
    recorder.kill().await.unwrap();
    let op = eventually("the end of the operation", async || {
        let ops = served.view().await?.ops;
        let op = ops.into_values().next()?.value;
        op.ended().is_some().then_some(op)
    })
    .await;
    let end = op.ended().unwrap();
    assert_eq!(
        end.outcome,
        hax::fence::model::Outcome::Cancelled,
        "{end:?}"
    );
    assert_eq!(served.runs("ssu1"), ["off"]);
    eventually("nothing but the response to be left", async || {
        let left = names(&served.files.path("requests"));
        (left == [".taken"] && served.taken().is_empty()).then_some(())
    })
    .await;
    assert!(
        served
            .files
            .log("fence-events-readable.log")
            .contains("how it ends is not known")
    );
}

/// hax does not start without its directories, and says which key is wrong.
#[tokio::test]
async fn a_directory_that_cannot_be_used_is_an_error_at_start() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().display();
    std::fs::write(format!("{root}/file"), "").unwrap();
    for (key, requests, responses) in [
        ("fence.files.request_dir", "file", "responses"),
        ("fence.files.response_dir", "requests", "file"),
    ] {
        let config = format!(
            "node.name = 'n1'\nhttp.listen = '127.0.0.1:0'\nconsul.address = 'http://127.0.0.1:1'\n\
             [ha]\nprocess = '0x7200000000000001:0x0'\nha_service = '0x7300000000000001:0x0'\n\
             rm_service = '0x7300000000000001:0x1'\nendpoint = 'unix:{root}/ha'\n\
             [fence]\nenabled = true\naudit_file = '{root}/audit'\n\
             device = [{{ name = 'none', type = 'dummy', host_check = 'none' }}]\n\
             [fence.files]\nrequest_dir = '{root}/{requests}'\nresponse_dir = '{root}/{responses}'\n"
        );
        std::fs::write(format!("{root}/hax.toml"), config).unwrap();
        let run = tokio::process::Command::new(env!("CARGO_BIN_EXE_hax"))
            .args(["run", "-c", &format!("{root}/hax.toml")])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = crate::harness::soon("hax to end", run).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{said}");
        assert!(said.contains(key), "{key}: {said}");
    }
}
