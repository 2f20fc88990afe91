//! A cluster whose bridge has a token with a policy that a test can change.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Cluster, Settings, consul};

const MASTER: &str = "5d3c1b9e-0000-4000-8000-000000000001";

/// A small cluster with ACLs, and the bridge's token.
pub(crate) struct Guarded {
    pub(crate) cluster: Cluster,
    policy: String,
    directory: TempDir,
}

impl Guarded {
    /// One with so many ios processes. The bridge may do what it needs, but of the keys under
    /// `process` only what these rules say.
    pub(crate) async fn start(ios: u64, processes: &str) -> Self {
        let tokens = json!({ "master": MASTER, "default": MASTER });
        let acl = json!({ "enabled": true, "default_policy": "deny", "tokens": tokens });
        let settings = consul::Settings {
            config: json!({ "primary_datacenter": "dc1", "acl": acl }),
            token: Some(MASTER.to_owned()),
            ..consul::Settings::default()
        };
        let cluster = Cluster::empty_of(settings).await;
        cluster.fill(ios).await;
        let policy = json!({ "Name": "hax", "Rules": rules(processes) });
        let policy = put(&cluster, "policy", policy).await;
        let policy = policy["ID"].as_str().unwrap().to_owned();
        let token = json!({ "Policies": [{ "ID": policy }] });
        let token = put(&cluster, "token", token).await;
        let directory = tempfile::tempdir().unwrap();
        let secret = token["SecretID"].as_str().unwrap();
        std::fs::write(directory.path().join("token"), secret).unwrap();
        Self {
            cluster,
            policy,
            directory,
        }
    }

    /// Settings of a bridge that has the token.
    pub(crate) fn settings(&self) -> Settings {
        let file = self.directory.path().join("token");
        Settings::default().with("consul.token_file", format!("'{}'", file.display()))
    }

    /// Changes what the bridge may do with the keys under `process`.
    pub(crate) async fn allow(&self, processes: &str) {
        let id = &self.policy;
        let policy = json!({ "ID": id, "Name": "hax", "Rules": rules(processes) });
        put(&self.cluster, &format!("policy/{id}"), policy).await;
    }
}

fn rules(processes: &str) -> String {
    format!(
        r#"node_prefix "" {{ policy = "read" }}
           service_prefix "" {{ policy = "read" }}
           session_prefix "" {{ policy = "write" }}
           key_prefix "" {{ policy = "read" }}
           key "leader" {{ policy = "write" }}
           {processes}"#
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
