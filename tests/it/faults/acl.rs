//! A final error of Consul: a token that may not write.

use halink::ProcessEvent;
use serde_json::{Value, json};

use super::{delivered, send};
use crate::harness::{Bridge, Cluster, Settings, consul, process, soon};

const MASTER: &str = "5d3c1b9e-0000-4000-8000-000000000001";

fn rules(processes: &str) -> String {
    format!(
        r#"node_prefix "" {{ policy = "read" }}
           service_prefix "" {{ policy = "read" }}
           session_prefix "" {{ policy = "write" }}
           key_prefix "" {{ policy = "read" }}
           key "leader" {{ policy = "write" }}
           key_prefix "process" {{ policy = "{processes}" }}"#
    )
}

async fn put(cluster: &Cluster, path: &str, body: Value) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/v1/acl/{path}", cluster.consul.address());
    let request = client.put(url).header("X-Consul-Token", MASTER);
    let response = request.body(body.to_string()).send().await.unwrap();
    assert!(response.status().is_success(), "{response:?}");
    response.json().await.unwrap()
}

#[tokio::test]
async fn an_event_that_may_not_be_written_comes_again_when_the_policy_is_mended() {
    let tokens = json!({ "master": MASTER, "default": MASTER });
    let acl = json!({ "enabled": true, "default_policy": "deny", "tokens": tokens });
    let settings = consul::Settings {
        config: json!({ "primary_datacenter": "dc1", "acl": acl }),
        token: Some(MASTER.to_owned()),
        ..consul::Settings::default()
    };
    let cluster = Cluster::empty_of(settings).await;
    cluster.fill(2).await;
    let policy = json!({ "Name": "hax", "Rules": rules("read") });
    let policy = put(&cluster, "policy", policy).await;
    let id = policy["ID"].as_str().unwrap();
    let token = put(&cluster, "token", json!({ "Policies": [{ "ID": id }] })).await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, token["SecretID"].as_str().unwrap()).unwrap();

    let settings = Settings::default().with("consul.token_file", format!("'{}'", file.display()));
    let mut bridge = Bridge::start_with(&cluster, settings).await;
    let (ios, other) = (bridge.sim(2).await, bridge.sim(3).await);
    let finals = bridge.counter("final_errors").await;
    let first = send(&ios, ProcessEvent::Starting).await;
    let second = send(&other, ProcessEvent::Started).await;
    bridge
        .wait_status("two final errors more", |status| {
            status["counters"]["final_errors"].as_u64().unwrap() >= finals + 2
        })
        .await;
    // The queue goes on: what reads only is answered.
    let states = soon("an answer", ios.nvec_get(&[process(3)]))
        .await
        .unwrap();
    assert_eq!(states.len(), 1);
    let only_the_event = ios.wait(|state| state.unacked == 1);
    soon("the NVEC GET to be delivered", only_the_event)
        .await
        .unwrap();
    assert_eq!(other.state().borrow().unacked, 1);
    assert_eq!(cluster.stored(2).await, None);
    assert_eq!(bridge.counter("process_events").await, 0);

    let mended = json!({ "ID": id, "Name": "hax", "Rules": rules("write") });
    put(&cluster, &format!("policy/{id}"), mended).await;
    let exit = bridge.terminate().await;
    assert!(exit.success(), "{exit}");
    bridge.restart().await;
    delivered(first).await;
    delivered(second).await;
    cluster.wait_stored(2, "STARTING").await;
    cluster.wait_stored(3, "STARTED").await;
    assert_eq!(bridge.counter("final_errors").await, 0);
}
