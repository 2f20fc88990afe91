use std::collections::BTreeMap;

use consul_client::{
    CatalogCheck, CheckStatus, Deregistration, Index, Registration, Service, StateFilter,
};

use crate::harness::{TestAgent, unique};

#[tokio::test]
async fn register_read_deregister() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let catalog = client.catalog();
    let (node, name) = (unique("external"), unique("confd"));
    let id = "0x7200000000000001:0x0004";

    let mut registration = Registration::new(&node, "192.0.2.7");
    registration.node_meta.insert("rack".into(), "r1".into());
    registration.service = Some(Service {
        id: id.into(),
        name: name.clone(),
        tags: vec!["motr".into()],
        meta: BTreeMap::from([("transport_type".into(), "libfabric".into())]),
        address: "inet:tcp:192.0.2.7".into(),
        port: 3000,
        create_index: Index(0),
        modify_index: Index(0),
    });
    registration.check = Some(CatalogCheck {
        check_id: format!("service:{id}"),
        name: "alive".into(),
        status: CheckStatus::Warning,
        output: "slow".into(),
        service_id: id.into(),
    });
    catalog.register(&registration).await.unwrap();

    let nodes = catalog.nodes().await.unwrap();
    assert!(nodes.index > Index(0));
    let found = nodes.value.iter().find(|n| n.name == node).unwrap();
    assert_eq!(
        (found.address.as_str(), found.meta["rack"].as_str()),
        ("192.0.2.7", "r1")
    );
    assert!(
        nodes
            .value
            .iter()
            .any(|n| n.name == agent.node && !n.id.is_empty())
    );

    let services = catalog.services().await.unwrap().value;
    assert_eq!(services[&name], ["motr"]);
    assert!(services.contains_key("consul"));

    let instances = catalog.service(&name).await.unwrap().value;
    assert_eq!(instances.len(), 1);
    let instance = &instances[0];
    assert_eq!(
        (instance.node.as_str(), instance.service_id.as_str()),
        (node.as_str(), id)
    );
    assert_eq!(instance.service_address, "inet:tcp:192.0.2.7");
    assert_eq!(instance.service_port, 3000);
    assert_eq!(instance.service_meta["transport_type"], "libfabric");
    assert!(
        catalog
            .service("no-such-service")
            .await
            .unwrap()
            .value
            .is_empty()
    );

    let read = catalog.node(&node).await.unwrap().value.unwrap();
    assert_eq!(read.node.name, node);
    assert_eq!(read.services[id].name, name);
    assert_eq!(catalog.node("no-such-node").await.unwrap().value, None);

    let health = client.health();
    let checks = health.node(&node).await.unwrap().value;
    assert_eq!((checks.len(), checks[0].output.as_str()), (1, "slow"));
    assert!(health.node("no-such-node").await.unwrap().value.is_empty());
    assert_eq!(health.checks(&name).await.unwrap().value, checks);
    let entries = health.service(&name).await.unwrap().value;
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (
            entries[0].node.name.as_str(),
            entries[0].service.id.as_str()
        ),
        (node.as_str(), id)
    );
    assert_eq!(entries[0].status(), CheckStatus::Warning);
    assert!(
        health
            .service_passing(&name)
            .await
            .unwrap()
            .value
            .is_empty()
    );
    let in_state = async |filter| {
        let checks = health.state(filter).await.unwrap().value;
        checks.iter().any(|check| check.node == node)
    };
    assert!(in_state(StateFilter::Any).await && in_state(StateFilter::Warning).await);
    assert!(!in_state(StateFilter::Critical).await && !in_state(StateFilter::Passing).await);

    let mut entry = Deregistration {
        node: node.clone(),
        service_id: None,
        check_id: Some(format!("service:{id}")),
    };
    catalog.deregister(&entry).await.unwrap();
    assert!(health.node(&node).await.unwrap().value.is_empty());
    assert_eq!(health.service_passing(&name).await.unwrap().value.len(), 1);
    entry.check_id = None;
    entry.service_id = Some(id.into());
    catalog.deregister(&entry).await.unwrap();
    assert!(catalog.service(&name).await.unwrap().value.is_empty());
    entry.service_id = None;
    catalog.deregister(&entry).await.unwrap();
    assert_eq!(catalog.node(&node).await.unwrap().value, None);
    catalog.deregister(&entry).await.unwrap();
}
