//! Plugins in the daemon: they are told of what happens, reloaded, and never in the way.

use std::path::Path;

use consul_client::CheckStatus;
use halink::{ProcessEvent, ProcessType};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use hax::sim::client::SimProcess;
use reqwest::header::CONTENT_TYPE;

use crate::harness::{Bridge, Cluster, Settings, eventually, process, soon};

/// A bridge with a directory of snippets.
struct Scene {
    cluster: Cluster,
    bridge: Bridge,
    directory: TempDir,
}

/// The name of a file, and what it holds where the files of the test are in a directory.
type Snippet<'a> = (&'a str, &'a dyn Fn(&Path) -> String);

/// A rule that writes the state of a process to a file in the directory.
fn tell(directory: &Path, file: &str) -> String {
    let file = directory.join(file);
    format!(
        "[[umh]]\n[[umh.process]]\nname = 'tell'\nshell = true\nevents = ['create', 'change']\n\
         command = 'echo $HAX_PROCESS $HAX_OLD_STATUS $HAX_STATUS >> {}'\n",
        file.display()
    )
}

impl Scene {
    async fn start(snippets: &[Snippet<'_>]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let dir = directory.path().join("plugins.d");
        std::fs::create_dir(&dir).unwrap();
        for (name, text) in snippets {
            std::fs::write(dir.join(name), text(directory.path())).unwrap();
        }
        let cluster = Cluster::small(3).await;
        let settings = Settings::default()
            .with("plugins.snippets", format!("'{}'", dir.display()))
            .with(
                "plugins.runtime_dir",
                format!("'{}'", directory.path().display()),
            );
        let bridge = Bridge::start_with(&cluster, settings).await;
        Self {
            cluster,
            bridge,
            directory,
        }
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.directory.path().join("plugins.d").join(name);
        std::fs::write(path, text).unwrap();
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default()
    }

    async fn plugins(&self) -> Value {
        let (code, body) = self.get("/v1/plugins").await;
        assert_eq!(code, 200, "{body}");
        body
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let url = format!("{}{path}", self.bridge.url());
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn reload(&self) -> (u16, Value) {
        let url = format!("{}/v1/plugins/reload", self.bridge.url());
        let request = reqwest::Client::new().post(url);
        let request = request.header(CONTENT_TYPE, "application/json");
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn until_told(&self, file: &str, line: &str) {
        eventually(&format!("{line:?} in {file}"), async || {
            self.file(file).contains(line).then_some(())
        })
        .await;
    }
}

async fn report(sim: &SimProcess, event: ProcessEvent, kind: ProcessType) {
    let delivery = sim.process_event(event, kind).await.unwrap();
    let delivered = soon("the event to be delivered", delivery.wait()).await;
    delivered.unwrap();
}

fn instance<'a>(plugins: &'a Value, name: &str) -> &'a Value {
    let mut instances = plugins["instances"].as_array().unwrap().iter();
    instances
        .find(|it| it["instance"] == name)
        .unwrap_or_else(|| panic!("{name} in {plugins:#}"))
}

#[tokio::test]
async fn a_change_of_a_process_runs_a_command_and_a_reload_changes_what_runs() {
    let scene = Scene::start(&[("first.toml", &|dir| tell(dir, "first"))]).await;
    let ios = scene.bridge.sim(2).await;
    report(&ios, ProcessEvent::Started, ProcessType::M0d).await;
    let told = format!("{} M0_CONF_HA_PROCESS_STARTED", process(2));
    scene.until_told("first", &told).await;

    // A second instance: the first is not touched.
    let before = instance(&scene.plugins().await, "first").clone();
    scene.write("second.toml", &tell(scene.directory.path(), "second"));
    let (code, outcome) = scene.reload().await;
    assert_eq!(
        (code, &outcome["result"]),
        (200, &"done".into()),
        "{outcome}"
    );
    let after = instance(&scene.plugins().await, "first").clone();
    assert_eq!(after["since"], before["since"]);
    report(&ios, ProcessEvent::Stopping, ProcessType::M0d).await;
    for file in ["first", "second"] {
        let told = "M0_CONF_HA_PROCESS_STARTED M0_CONF_HA_PROCESS_STOPPING";
        scene.until_told(file, told).await;
    }

    // A wrong snippet: everything is named, nothing is changed, by a signal too.
    scene.write(
        "third.toml",
        "[[umh]]\n[[umh.proces]]\ncommand = ['/bin/true']\n",
    );
    let (code, outcome) = scene.reload().await;
    assert_eq!(code, 409, "{outcome}");
    let errors = outcome["errors"].to_string();
    assert!(
        errors.contains("third.toml:2") && errors.contains("umh.process"),
        "{errors}"
    );
    scene.bridge.signal(Signal::HUP);
    scene
        .bridge
        .wait_log("the snippets of plugins are wrong")
        .await;
    assert_eq!(
        scene.plugins().await["instances"].as_array().unwrap().len(),
        2
    );

    std::fs::remove_file(scene.directory.path().join("plugins.d/third.toml")).unwrap();
    std::fs::remove_file(scene.directory.path().join("plugins.d/first.toml")).unwrap();
    scene.bridge.signal(Signal::HUP);
    eventually("the first to be gone", async || {
        let plugins = scene.plugins().await;
        (plugins["instances"].as_array().unwrap().len() == 1).then_some(())
    })
    .await;
    report(&ios, ProcessEvent::Stopped, ProcessType::M0d).await;
    scene
        .until_told("second", "STOPPING M0_CONF_HA_PROCESS_STOPPED")
        .await;
    assert!(!scene.file("first").contains("STOPPED"));
}

#[tokio::test]
async fn objects_are_shown_as_they_are() {
    let scene = Scene::start(&[("log.toml", &|_| "[[debugger]]\n".to_owned())]).await;
    let ios = scene.bridge.sim(2).await;
    report(&ios, ProcessEvent::Started, ProcessType::M0d).await;
    scene.cluster.set_check(2, CheckStatus::Critical).await;
    let (code, answer) = scene.get("/v1/plugins/objects?object=nothing").await;
    assert_eq!(code, 400, "{answer}");
    for (kind, field, value) in [
        ("link", "process", process(2).to_string()),
        ("process", "status", "M0_CONF_HA_PROCESS_STARTED".to_owned()),
        ("check", "process", process(2).to_string()),
        ("queue", "consul", "reachable".to_owned()),
        ("leader", "standing", "leader".to_owned()),
    ] {
        eventually(&format!("{kind} with {field} {value}"), async || {
            let path = format!("/v1/plugins/objects?object={kind}");
            let (_, body) = scene.get(&path).await;
            let mut objects = body["objects"].as_array()?.iter();
            objects.find(|object| object[field] == value).map(|_| ())
        })
        .await;
    }
}
