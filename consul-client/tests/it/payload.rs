use consul_client::{CheckStatus, ServiceEntry};

/// What Consul posts for a watch of type `service` (5/HAX): nulls where lists are empty, and
/// fields we have no use for.
const WATCH_BODY: &str = r#"[{
  "Node": {
    "ID": "8f2b0b7e-0000-4000-8000-000000000001", "Node": "srvnode-1", "Address": "192.0.2.1",
    "Datacenter": "dc1", "TaggedAddresses": {"lan": "192.0.2.1", "wan": "192.0.2.1"},
    "Meta": {"consul-network-segment": ""}, "CreateIndex": 5, "ModifyIndex": 6
  },
  "Service": {
    "ID": "0x7200000000000001:0x0004", "Service": "confd", "Tags": null, "Meta": null,
    "Port": 101, "Address": "@tcp:12345:44", "Weights": {"Passing": 1, "Warning": 1},
    "EnableTagOverride": false, "CreateIndex": 6, "ModifyIndex": 6,
    "Proxy": {"DestinationServiceName": "", "Upstreams": null}, "Connect": {}
  },
  "Checks": [{
    "Node": "srvnode-1", "CheckID": "serfHealth", "Name": "Serf Health Status",
    "Status": "passing", "Notes": "", "Output": "Agent alive and reachable", "ServiceID": "",
    "ServiceName": "", "ServiceTags": null,
    "Definition": {"Interval": "0s", "Header": null, "TLSSkipVerify": false, "TCP": ""},
    "CreateIndex": 5, "ModifyIndex": 5
  }, {
    "Node": "srvnode-1", "CheckID": "service:0x7200000000000001:0x0004",
    "Name": "Service 'confd' check", "Status": "warning", "Notes": "", "Output": "",
    "ServiceID": "0x7200000000000001:0x0004", "ServiceName": "confd", "ServiceTags": [],
    "Definition": null, "CreateIndex": 6, "ModifyIndex": 72
  }]
}]"#;

#[test]
fn watch_body() {
    let entries: Vec<ServiceEntry> = serde_json::from_str(WATCH_BODY).unwrap();
    let entry = &entries[0];
    assert_eq!(entry.node.name, "srvnode-1");
    assert_eq!(entry.service.id, "0x7200000000000001:0x0004");
    assert_eq!(
        (entry.service.address.as_str(), entry.service.port),
        ("@tcp:12345:44", 101)
    );
    assert!(entry.service.tags.is_empty() && entry.service.meta.is_empty());
    assert_eq!(entry.checks[1].modify_index.0, 72);
    assert_eq!(entry.status(), CheckStatus::Warning);
}

#[test]
fn unknown_status_in_a_watch_body_is_refused() {
    let body = WATCH_BODY.replace("\"warning\"", "\"poorly\"");
    let error = serde_json::from_str::<Vec<ServiceEntry>>(&body).unwrap_err();
    assert!(
        error.to_string().contains("unknown variant `poorly`"),
        "{error}"
    );
}
