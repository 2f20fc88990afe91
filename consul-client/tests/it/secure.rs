//! Tokens and TLS.

use std::path::Path;
use std::process::Command;

use consul_client::{Client, ClientIdentity, Config, Error, Token, TxnOp};
use serde_json::json;

use crate::fake::{Fake, ok};
use crate::harness::{TestAgent, consul};

const MASTER: &str = "5eb8d6a0-0000-4000-8000-0000000000aa";

#[tokio::test]
async fn acl_denies_and_accepts() {
    let config = json!({ "acl": {
        "enabled": true, "default_policy": "deny", "tokens": { "master": MASTER },
    }});
    let agent = TestAgent::start_with(tempfile::tempdir().unwrap(), config, Some(MASTER)).await;
    agent.client().kv().put("a", "x").await.unwrap();

    let unknown = "5eb8d6a0-0000-4000-8000-0000000000bb";
    for token in [None, Some(Token::new(unknown))] {
        let mut config = Config::new(agent.address());
        config.token = token;
        let client = Client::new(&config).unwrap();
        let ops = [TxnOp::set("a", "y")];
        let mut failures = vec![
            client.kv().put("a", "y").await.unwrap_err(),
            client.txn().commit(&ops).await.unwrap_err(),
            client.agent().self_().await.unwrap_err(),
        ];
        if config.token.is_some() {
            failures.push(client.kv().get("a").await.unwrap_err());
        }
        for error in failures {
            assert!(matches!(error, Error::Permission { .. }), "{error:?}");
            assert!(!error.is_retryable());
            assert!(!format!("{error} {error:?} {client:?} {config:?}").contains(unknown));
        }
    }
    let pair = agent.client().kv().get("a").await.unwrap().value.unwrap();
    assert_eq!(pair.text().unwrap(), "x");
}

#[tokio::test]
async fn token_travels_in_its_header_only() {
    let mut fake = Fake::start(vec![ok(1, "[]")]).await;
    let mut config = fake.config();
    config.token = Some(Token::new("s3cret"));
    let client = Client::new(&config).unwrap();
    client.catalog().nodes().await.unwrap();
    let head = fake.request().await;
    assert!(
        head.to_lowercase().contains("x-consul-token: s3cret\r\n"),
        "{head}"
    );
    assert_eq!(head.matches("s3cret").count(), 1);
    assert!(!format!("{client:?} {config:?}").contains("s3cret"));

    config.token = Some(Token::new("s3cret\n"));
    let error = Client::new(&config).unwrap_err();
    assert!(matches!(
        error,
        Error::Config {
            setting: "token",
            ..
        }
    ));
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}

fn tls(dir: &Path, args: &[&str]) {
    let output = Command::new(consul())
        .arg("tls")
        .args(args)
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn tls_with_client_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    for dir in [dir.path(), other.path()] {
        tls(dir, &["ca", "create"]);
        tls(dir, &["cert", "create", "-server"]);
        tls(dir, &["cert", "create", "-client"]);
    }
    let agent_config = json!({
        "ca_file": dir.path().join("consul-agent-ca.pem"),
        "cert_file": dir.path().join("dc1-server-consul-0.pem"),
        "key_file": dir.path().join("dc1-server-consul-0-key.pem"),
        "verify_incoming_https": true,
    });
    let agent = TestAgent::start_with(dir, agent_config, None).await;
    let identity = |dir: &Path| ClientIdentity {
        cert_file: dir.join("dc1-client-consul-0.pem"),
        key_file: dir.join("dc1-client-consul-0-key.pem"),
    };
    let ours = agent.dir.path();

    let mut good = Config::new(agent.https_address());
    good.ca_file = Some(ours.join("consul-agent-ca.pem"));
    good.identity = Some(identity(ours));
    let client = Client::new(&good).unwrap();
    client.kv().put("a", "x").await.unwrap();
    assert!(client.status().leader().await.unwrap().is_some());

    let mut wrong_authority = good.clone();
    wrong_authority.ca_file = Some(other.path().join("consul-agent-ca.pem"));
    let mut system_authorities = good.clone();
    system_authorities.ca_file = None;
    let mut no_certificate = good.clone();
    no_certificate.identity = None;
    let mut foreign_certificate = good.clone();
    foreign_certificate.identity = Some(identity(other.path()));
    for config in [
        wrong_authority,
        system_authorities,
        no_certificate,
        foreign_certificate,
    ] {
        let error = Client::new(&config)
            .unwrap()
            .kv()
            .get("a")
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{config:?}: {error:?}");
        assert!(!error.is_retryable());
    }

    let mut missing = good.clone();
    missing.ca_file = Some(ours.join("missing.pem"));
    let error = Client::new(&missing).unwrap_err();
    assert!(matches!(&error, Error::File { path, .. } if path.ends_with("missing.pem")));
    assert!(error.to_string().contains("missing.pem"), "{error}");

    let mut not_pem = good.clone();
    not_pem.ca_file = Some(ours.join("agent.json"));
    let error = Client::new(&not_pem).unwrap_err();
    assert!(error.to_string().contains("agent.json"), "{error}");

    let mut mismatched = good.clone();
    mismatched.identity = Some(ClientIdentity {
        key_file: other.path().join("dc1-client-consul-0-key.pem"),
        ..identity(ours)
    });
    let error = Client::new(&mismatched).unwrap_err();
    assert!(
        error.to_string().contains("dc1-client-consul-0-key.pem"),
        "{error}"
    );

    let mut swapped = good.clone();
    swapped.identity = Some(ClientIdentity {
        key_file: ours.join("consul-agent-ca.pem"),
        ..identity(ours)
    });
    let error = Client::new(&swapped).unwrap_err();
    assert!(error.to_string().contains("consul-agent-ca.pem"), "{error}");
}
