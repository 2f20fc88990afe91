use std::time::Duration;

use consul_client::{CheckKind, CheckRegistration, CheckSpec, CheckStatus, ServiceRegistration};

use crate::harness::{TestAgent, eventually, unique};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn self_and_status() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let about = client.agent().self_().await.unwrap();
    assert_eq!(about.config.node_name, agent.node);
    assert_eq!(about.config.datacenter, "dc1");
    assert!(about.config.server && !about.config.version.is_empty());
    assert_eq!(
        (about.member.name, about.member.status),
        (agent.node.clone(), 1)
    );
    let leader = client.status().leader().await.unwrap().unwrap();
    assert_eq!(client.status().peers().await.unwrap(), [leader]);
}

#[tokio::test]
async fn services_and_their_checks() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let api = client.agent();
    let id = unique("0x7200000000000001:0x0004");
    let mut service = ServiceRegistration::new(&id, "ios");
    service.tags.push("t".into());
    service.meta.insert("k".into(), "v".into());
    service.address = "@tcp:12345:44".into();
    service.port = 101;
    service
        .checks
        .push(CheckSpec::new(CheckKind::Ttl { ttl: HOUR }));
    api.register_service(&service).await.unwrap();

    let registered = api.services().await.unwrap().remove(&id).unwrap();
    assert_eq!((registered.name.as_str(), registered.port), ("ios", 101));
    assert_eq!(registered.address, "@tcp:12345:44");
    assert_eq!(
        (registered.tags[0].as_str(), registered.meta["k"].as_str()),
        ("t", "v")
    );

    let check = format!("service:{id}");
    let state = async || {
        let check = api.checks().await.unwrap().remove(&check).unwrap();
        (check.status, check.output)
    };
    assert_eq!(state().await.0, CheckStatus::Critical);
    api.check_pass(&check, "fine").await.unwrap();
    assert_eq!(state().await, (CheckStatus::Passing, "fine".into()));
    api.check_warn(&check, "hm").await.unwrap();
    assert_eq!(state().await, (CheckStatus::Warning, "hm".into()));
    api.check_fail(&check, "no").await.unwrap();
    assert_eq!(state().await, (CheckStatus::Critical, "no".into()));

    api.deregister_service(&id).await.unwrap();
    assert!(!api.services().await.unwrap().contains_key(&id));
    assert!(!api.checks().await.unwrap().contains_key(&check));
}

#[tokio::test]
async fn checks_of_all_kinds() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let api = client.agent();
    let id = unique("check");
    let check = |name: String, kind| {
        let mut spec = CheckSpec::new(kind);
        spec.name = name;
        spec.status = Some(CheckStatus::Warning);
        CheckRegistration {
            service_id: None,
            spec,
        }
    };
    let address = agent.address();
    let (interval, timeout) = (Duration::from_millis(100), Duration::from_secs(2));
    let http = CheckKind::Http {
        url: format!("http://{address}/v1/status/leader"),
        interval,
        timeout,
    };
    let kinds = [
        ("http", http),
        (
            "tcp",
            CheckKind::Tcp {
                address,
                interval,
                timeout,
            },
        ),
    ];
    for (suffix, kind) in kinds {
        let id = format!("{id}-{suffix}");
        api.register_check(&check(id.clone(), kind)).await.unwrap();
        eventually("the check passes", || async {
            (api.checks().await.unwrap()[&id].status == CheckStatus::Passing).then_some(())
        })
        .await;
        api.deregister_check(&id).await.unwrap();
        assert!(!api.checks().await.unwrap().contains_key(&id));
    }
    // The agent of the tests does not permit scripts.
    let script = CheckKind::Script {
        args: vec!["true".into()],
        interval,
        timeout,
    };
    let error = api.register_check(&check(id, script)).await.unwrap_err();
    assert!(
        error.to_string().contains("Scripts are disabled"),
        "{error}"
    );
    assert!(api.check_pass("no-such-check", "").await.is_err());
}

#[tokio::test]
async fn reload_keeps_the_agent_working() {
    let agent = TestAgent::start().await;
    let client = agent.client();
    client.agent().reload().await.unwrap();
    client.agent().self_().await.unwrap();
}

#[tokio::test]
async fn events() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let name = unique("event");
    let fired = client.event().fire(&name, vec![0, 1, 255]).await.unwrap();
    assert_eq!(fired.name, name);
    let events = eventually("the event is listed", || async {
        let events = client.event().list(Some(&name)).await.unwrap().value;
        (!events.is_empty()).then_some(events)
    })
    .await;
    assert_eq!(
        (&events[0].id, events[0].payload.as_slice()),
        (&fired.id, &[0, 1, 255][..])
    );
    assert!(
        client
            .event()
            .list(Some("no-such-event"))
            .await
            .unwrap()
            .value
            .is_empty()
    );
    assert!(
        client
            .event()
            .list(None)
            .await
            .unwrap()
            .value
            .iter()
            .any(|e| e.id == fired.id)
    );
}
