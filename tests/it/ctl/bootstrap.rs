//! `haxctl bootstrap`: its files and pairs are what Consul takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Output, Stdio};

use consul_client::CheckStatus;
use serde_json::{Value, json};

use super::{expect, haxctl, stderr, stdout};
use crate::common::consul::{Consul, Settings, program};
use crate::common::eventually;

const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/cluster-small.toml");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/health-check.sh");

async fn bootstrap(description: &str, args: &[&str]) -> Output {
    haxctl(&[&["bootstrap", description][..], args].concat()).await
}

#[tokio::test]
async fn a_dry_run_prints_everything_and_the_same_each_time() {
    let first = bootstrap(DESCRIPTION, &["--dry-run"]).await;
    expect(&first, 0);
    let text = stdout(&first);
    for part in [
        "==> KV\nepoch = 1\nleader = \nm0conf/",
        "\nm0conf/nodes/ssu3/processes/10/endpoint = inet:tcp:10.119.13.101@22001\n",
        "\n==> ssu1/consul.json\n{\n",
        "\n==> ssu3/hax.toml\n[node]\nname = \"ssu3\"\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    assert_eq!(
        first.stdout,
        bootstrap(DESCRIPTION, &["--dry-run"]).await.stdout
    );
}

#[tokio::test]
async fn files_are_valid_for_consul_and_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().to_str().unwrap();
    let made = bootstrap(DESCRIPTION, &["--out", out]).await;
    expect(&made, 0);
    assert_eq!(
        stdout(&made),
        format!("files in {out}: 6 written, 0 as they should be\n")
    );
    // What every agent has from elsewhere.
    let rest = directory.path().join("rest.json");
    std::fs::write(&rest, json!({ "data_dir": directory.path() }).to_string()).unwrap();
    for node in ["ssu1", "ssu2", "ssu3"] {
        let mut validate = tokio::process::Command::new(program());
        let file = directory.path().join(node).join("consul.json");
        validate
            .arg("validate")
            .arg(file)
            .arg(&rest)
            .stdin(Stdio::null());
        let done = validate.output().await.unwrap();
        assert!(done.status.success(), "{}{}", stdout(&done), stderr(&done));
    }

    let changed = directory.path().join("ssu2/hax.toml");
    std::fs::write(&changed, "mine").unwrap();
    std::fs::remove_file(directory.path().join("ssu1/hax.toml")).unwrap();
    let refused = bootstrap(DESCRIPTION, &["--out", out]).await;
    expect(&refused, 73);
    assert!(stderr(&refused).contains("ssu2/hax.toml exists and differs"));
    assert!(
        !directory.path().join("ssu1/hax.toml").exists(),
        "nothing is written"
    );
    expect(&bootstrap(DESCRIPTION, &["--out", out, "--force"]).await, 0);
    assert!(
        std::fs::read_to_string(&changed)
            .unwrap()
            .starts_with("[node]")
    );
}

#[tokio::test]
async fn pairs_of_a_running_cluster_are_left_alone() {
    let consul = Consul::start().await;
    let client = consul.client();
    let address = consul.address();
    expect(&bootstrap(DESCRIPTION, &["--consul", &address]).await, 0);
    let node = "m0conf/nodes/0x6e00000000000001:0x1";
    let online = r#"{"name": "ssu2", "state": "M0_NC_ONLINE"}"#;
    for (key, value) in [(node, online), ("leader", "ssu2"), ("epoch", "7")] {
        client.kv().put(key, value).await.unwrap();
    }
    let again = bootstrap(DESCRIPTION, &["--consul", &address, "--force"]).await;
    expect(&again, 0);
    assert!(
        stdout(&again).starts_with("keys: 0 created, 0 replaced, "),
        "{}",
        stdout(&again)
    );
    assert_eq!(
        client
            .kv()
            .get(node)
            .await
            .unwrap()
            .value
            .unwrap()
            .text()
            .unwrap(),
        online
    );

    let endpoint = "m0conf/nodes/ssu2/processes/6/endpoint";
    client
        .kv()
        .put(endpoint, "inet:tcp:192.52.44.216@1")
        .await
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let args = ["--consul", &address, "--out", out.to_str().unwrap()];
    let refused = bootstrap(DESCRIPTION, &args).await;
    expect(&refused, 73);
    assert!(stderr(&refused).contains(endpoint), "{}", stderr(&refused));
    assert!(!out.exists(), "no file is written either");
}

#[tokio::test]
async fn wrong_descriptions_are_refused_before_anything_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cluster.toml");
    std::fs::write(&file, "polls = []\n[[node]]\nname = \"a b\"\n").unwrap();
    let out = directory.path().join("out");
    let path = file.to_str().unwrap();
    let refused = bootstrap(path, &["--out", out.to_str().unwrap()]).await;
    expect(&refused, 78);
    let wanted = [
        format!("haxctl: {path}:1: polls: unknown key; did you mean pools?"),
        format!("haxctl: {path}:2: node[1].address: required, but not given"),
        format!("haxctl: {path}:2: node[1].hax: required, but not given"),
    ];
    for line in wanted {
        assert!(
            stderr(&refused).lines().any(|l| l == line),
            "{line}\n{}",
            stderr(&refused)
        );
    }
    assert!(!out.exists());
    expect(&bootstrap(path, &[]).await, 64);
    expect(&bootstrap("/nonexistent", &["--dry-run"]).await, 66);
}

/// The agent started with the file has the services, runs the checks, and its catalog
/// gives every endpoint back.
#[tokio::test]
async fn an_agent_started_with_the_file_monitors_the_processes() {
    let directory = tempfile::tempdir().unwrap();
    let description = directory.path().join("cluster.toml");
    let marker = format!(
        "hax-test-{}",
        directory.path().file_name().unwrap().to_str().unwrap()
    );
    let text = format!(
        "check = {{ script = \"{SCRIPT}\", interval = \"1s\" }}\n\
         [[node]]\nname = \"ssu1\"\naddress = \"127.0.0.1\"\n\
         hax = {{ endpoint = 22001, http = 1 }}\n\
         confd = {{ endpoint = \"192.168.180.162@tcp:12345:44:101\", pattern = \"{marker} confd\" }}\n"
    );
    std::fs::write(&description, text).unwrap();
    let out = directory.path().to_str().unwrap();
    expect(
        &bootstrap(description.to_str().unwrap(), &["--out", out]).await,
        0,
    );
    let config = std::fs::read(directory.path().join("ssu1/consul.json")).unwrap();
    let settings = Settings {
        node: "ssu1".to_owned(),
        config: serde_json::from_slice::<Value>(&config).unwrap(),
        env: vec![("CONSUL_HTTP_ADDR".to_owned(), "127.0.0.1:{http}".to_owned())],
        ..Settings::default()
    };
    let consul = Consul::start_with(&settings).await;
    let client = consul.client();

    let confds = eventually("the confd in the catalog", async || {
        let confds = client.catalog().service("confd").await.ok()?.value;
        (!confds.is_empty()).then_some(confds)
    })
    .await;
    let confd = serde_json::to_value(&confds[0]).unwrap();
    assert_eq!(confd["ServiceID"], "1");
    assert_eq!(confd["ServiceAddress"], "192.168.180.162@tcp:12345:44");
    assert_eq!(confd["ServicePort"], 101);
    assert_eq!(confd["ServiceMeta"]["transport_type"], "lnet");

    let status = async |what: &str, wanted: CheckStatus, output: &str| {
        eventually(what, async || {
            let checks: BTreeMap<_, _> = client.agent().checks().await.ok()?;
            let check = checks.get("service:1:process")?;
            (check.status == wanted && check.output.contains(output)).then_some(())
        })
        .await;
    };
    status(
        "a check that fails",
        CheckStatus::Critical,
        "no process matches",
    )
    .await;
    let process = super::health_check::Process::start(&format!("{marker} confd"));
    status(
        "a check that warns",
        CheckStatus::Warning,
        "no status in KV",
    )
    .await;
    let started = r#"{"state":"M0_CONF_HA_PROCESS_STARTED","type":"M0_CONF_HA_PROCESS_M0D"}"#;
    client
        .kv()
        .put("processes/0x7200000000000001:0x1", started)
        .await
        .unwrap();
    status("a check that passes", CheckStatus::Passing, "STARTED").await;
    drop(process);
    status(
        "a check that fails again",
        CheckStatus::Critical,
        "no process matches",
    )
    .await;
}

#[tokio::test]
async fn an_unreadable_directory_is_a_failure() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ssu1"), "a file").unwrap();
    let out = directory.path().to_str().unwrap();
    expect(&bootstrap(DESCRIPTION, &["--out", out]).await, 1);
    assert!(!Path::new(out).join("ssu2").exists());
}
