use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use consul_client::CheckStatus;
use halink::{Fid, HaState};
use serde_json::{Value, json};

use super::super::payload::{Watch, parse};
use super::super::reply::Refusal;
use super::SAMPLE;
use crate::bridge::update::{NodeHealth, ServiceHealth, WatchUpdate};

fn process(key: u64) -> Fid {
    Fid::new(0x7200_0000_0000_0001, key)
}

fn service(key: u64, node: &str, status: CheckStatus) -> ServiceHealth {
    ServiceHealth {
        process: process(key),
        node: node.to_owned(),
        status,
        index: u64::MAX,
    }
}

fn parsed(watch: Watch, payload: &Value) -> WatchUpdate {
    parse(watch, payload.to_string().as_bytes()).unwrap()
}

/// The path and the reason of a payload of the wrong shape.
fn invalid(watch: Watch, payload: &Value) -> (String, String) {
    match parse(watch, payload.to_string().as_bytes()).unwrap_err() {
        Refusal::InvalidPayload { path, what } => (
            path,
            what.split(" at line").next().unwrap_or_default().to_owned(),
        ),
        other => panic!("{other:?}"),
    }
}

fn entry(id: &str, statuses: &[&str]) -> Value {
    let checks: Vec<_> = statuses
        .iter()
        .map(|status| json!({ "Status": status }))
        .collect();
    json!({ "Node": { "Node": "ssu1" }, "Service": { "ID": id }, "Checks": checks })
}

#[test]
fn the_sample_of_the_specification_works() {
    let update = parse(Watch::Service, SAMPLE.as_bytes()).unwrap();
    let mut expected = service(4, "sage75", CheckStatus::Passing);
    // The newer of its two checks.
    expected.index = 72;
    assert_eq!(update, WatchUpdate::Services(vec![expected]));
}

#[test]
fn the_worst_check_dates_the_status() {
    let check = |status: &str, index: u64| json!({"Status": status, "ModifyIndex": index});
    for (checks, status, index) in [
        (
            vec![check("passing", 9), check("critical", 5)],
            CheckStatus::Critical,
            5,
        ),
        (
            vec![check("critical", 5), check("critical", 7)],
            CheckStatus::Critical,
            7,
        ),
        (
            vec![check("warning", 6), check("passing", 8)],
            CheckStatus::Warning,
            6,
        ),
    ] {
        let payload = json!([{"Node": {"Node": "n"}, "Service": {"ID": "1"}, "Checks": checks}]);
        let expected = ServiceHealth {
            index,
            ..service(1, "n", status)
        };
        assert_eq!(
            parsed(Watch::Service, &payload),
            WatchUpdate::Services(vec![expected])
        );
    }
}

#[test]
fn nothing_is_an_empty_list() {
    for body in ["", " \n", "null", "[]"] {
        let parse = |watch| parse(watch, body.as_bytes()).unwrap();
        assert_eq!(
            parse(Watch::Service),
            WatchUpdate::Services(vec![]),
            "{body:?}"
        );
        assert_eq!(parse(Watch::Nodes), WatchUpdate::Nodes(vec![]));
        let none = WatchUpdate::Checks {
            services: vec![],
            nodes: vec![],
            ignored: 0,
        };
        assert_eq!(parse(Watch::Checks), none);
        let none = WatchUpdate::KeyPrefix {
            states: vec![],
            ignored: 0,
        };
        assert_eq!(parse(Watch::KeyPrefix), none);
    }
}

#[test]
fn a_service_id_is_a_process_fid_or_its_decimal_key() {
    for (id, key) in [
        ("0x7200000000000001:0x0004", 4),
        ("<7200000000000001:1f>", 0x1f),
        ("7200000000000001:0", 0),
        ("0", 0),
        ("31", 31),
        ("18446744073709551615", u64::MAX),
    ] {
        let update = parsed(Watch::Service, &json!([entry(id, &[])]));
        let expected = service(key, "ssu1", CheckStatus::Passing);
        assert_eq!(update, WatchUpdate::Services(vec![expected]), "{id}");
    }
}

#[test]
fn the_worst_check_counts() {
    use CheckStatus::{Critical, Passing, Warning};
    for (statuses, worst) in [
        (&[][..], Passing),
        (&["passing", "passing"], Passing),
        (&["warning", "passing"], Warning),
        (&["critical", "warning", "passing"], Critical),
        (&["passing", "maintenance", "warning"], Critical),
    ] {
        let update = parsed(Watch::Service, &json!([entry("1", statuses)]));
        assert_eq!(
            update,
            WatchUpdate::Services(vec![service(1, "ssu1", worst)]),
            "{statuses:?}"
        );
    }
    let mut unchecked = entry("1", &[]);
    unchecked["Checks"] = Value::Null;
    let update = parsed(Watch::Service, &json!([unchecked]));
    assert_eq!(
        update,
        WatchUpdate::Services(vec![service(1, "ssu1", Passing)])
    );
}

#[test]
fn a_wrong_shape_is_named_with_its_path() {
    let forms = "expected a process fid such as 0x7200000000000001:0x4, or its key in decimal";
    let with = |path: &str, value: Value| {
        let mut entry = entry("1", &["passing"]);
        *entry.pointer_mut(path).unwrap() = value;
        json!([self::entry("2", &[]), entry])
    };
    for (payload, path, what) in [
        (
            json!({}),
            "the payload",
            "invalid type: map, expected a sequence".to_owned(),
        ),
        (
            json!("x"),
            "the payload",
            "invalid type: string \"x\", expected a sequence".to_owned(),
        ),
        (
            json!([1]),
            "[0]",
            "invalid type: integer `1`, expected an object".to_owned(),
        ),
        (
            json!([[{ "Node": "n" }, {}]]),
            "[0]",
            "invalid type: sequence, expected an object".to_owned(),
        ),
        (json!([{}]), "[0]", "missing field `Node`".to_owned()),
        (
            with("/Service", json!({})),
            "[1].Service",
            "missing field `ID`".to_owned(),
        ),
        (
            with("/Service/ID", json!(7)),
            "[1].Service.ID",
            "invalid type: integer `7`, expected a string".to_owned(),
        ),
        (
            with("/Service/ID", json!("confd")),
            "[1].Service.ID",
            format!(
                "\"confd\" is not a fid: expected two numbers with one ':' between them; {forms}"
            ),
        ),
        (
            with("/Service/ID", json!("")),
            "[1].Service.ID",
            format!("\"\" is not a fid: expected two numbers with one ':' between them; {forms}"),
        ),
        (
            with("/Service/ID", json!("-1")),
            "[1].Service.ID",
            format!("\"-1\" is not a fid: expected two numbers with one ':' between them; {forms}"),
        ),
        (
            with("/Service/ID", json!("18446744073709551616")),
            "[1].Service.ID",
            format!("\"18446744073709551616\" does not fit into 64 bits; {forms}"),
        ),
        (
            with("/Service/ID", json!("0x7300000000000001:0x4")),
            "[1].Service.ID",
            format!("\"0x7300000000000001:0x4\" is not a process; {forms}"),
        ),
        (
            with("/Node/Node", json!("")),
            "[1].Node.Node",
            "the name of a node is empty".to_owned(),
        ),
        (
            with("/Node/Node", json!("n".repeat(256))),
            "[1].Node.Node",
            "the name of a node is longer than 255 bytes".to_owned(),
        ),
        (
            with("/Checks", json!({})),
            "[1].Checks",
            "invalid type: map, expected a sequence".to_owned(),
        ),
        (
            with("/Checks/0/Status", json!("fine")),
            "[1].Checks[0].Status",
            "\"fine\" is no status; expected passing, warning, critical or maintenance".to_owned(),
        ),
    ] {
        assert_eq!(invalid(Watch::Service, &payload), (path.to_owned(), what));
    }
}

#[test]
fn thousands_of_services_are_taken() {
    let entries: Vec<_> = (0..5000)
        .map(|key: u64| entry(&key.to_string(), &["passing"]))
        .collect();
    let WatchUpdate::Services(services) = parsed(Watch::Service, &json!(entries)) else {
        panic!()
    };
    assert_eq!(services.len(), 5000);
    assert_eq!(services[4999], service(4999, "ssu1", CheckStatus::Passing));
}

#[test]
fn checks_are_sorted_into_services_and_nodes() {
    let check = |node: &str, id: &str, service: &str, status: &str| json!({ "Node": node, "CheckID": id, "ServiceID": service, "Status": status });
    let payload = json!([
        check("ssu1", "serfHealth", "", "passing"),
        check("ssu1", "service:2:1", "2", "warning"),
        check("ssu2", "serfHealth", "", "critical"),
        check("ssu1", "service:2:2", "0x7200000000000001:0x2", "passing"),
        check("ssu2", "service:2", "2", "maintenance"),
        check("ssu1", "service:web", "web", "critical"),
        check("ssu1", "disk", "", "critical"),
        { "Node": "ssu1", "CheckID": "mem", "Status": "passing" },
    ]);
    let node = |node: &str, status| NodeHealth {
        node: node.to_owned(),
        status,
    };
    assert_eq!(
        parsed(Watch::Checks, &payload),
        WatchUpdate::Checks {
            services: vec![
                service(2, "ssu1", CheckStatus::Warning),
                service(2, "ssu2", CheckStatus::Critical),
            ],
            nodes: vec![
                node("ssu1", CheckStatus::Passing),
                node("ssu2", CheckStatus::Critical)
            ],
            ignored: 3,
        }
    );
    assert_eq!(
        invalid(
            Watch::Checks,
            &json!([{ "CheckID": "serfHealth", "Node": "n", "Status": 1 }])
        )
        .0,
        "[0].Status"
    );
}

#[test]
fn nodes_are_their_names() {
    let payload = json!([{ "Node": "ssu1", "Address": "10.0.0.1" }, { "Node": "ssu2" }]);
    let names = vec!["ssu1".to_owned(), "ssu2".to_owned()];
    assert_eq!(parsed(Watch::Nodes, &payload), WatchUpdate::Nodes(names));
    assert_eq!(
        invalid(Watch::Nodes, &json!([{ "Node": null }])).0,
        "[0].Node"
    );
}

#[test]
fn stored_states_are_found_by_their_fid() {
    let pair = |key: &str, value: &str| json!({ "Key": key, "Value": STANDARD.encode(value) });
    let drive = "m0conf/sites/0x5300000000000001:0x1/drives/0x6b00000000000001:0x2a";
    let payload = json!([
        pair(drive, r#"{"sdev": "0x6400000000000001:0x2b", "state": "M0_NC_FAILED"}"#),
        pair("m0conf/nodes/0x6e00000000000001:0x3", r#"{"name": "ssu1", "state": "online"}"#),
        pair("m0conf/nodes/0x6e00000000000001:0x4", r#"{"name": "ssu2", "state": "M0_NC_UNKNOWN"}"#),
        pair("m0conf/nodes/0x6e00000000000001:0x5", r#"{"name": "ssu3", "state": "offline"}"#),
        pair("m0conf/nodes/0x6e00000000000001:0xa", r#"{"name": "ssu6", "state": "odd"}"#),
        pair("m0conf/nodes/0x6e00000000000001:0x6", r#"{"name": "ssu4"}"#),
        pair("m0conf/nodes/0x6e00000000000001:0x7", "online"),
        pair("m0conf/nodes/0x0:0x7", r#"{"state": "M0_NC_ONLINE"}"#),
        pair("m0conf/nodes/ssu1/processes/2/endpoint", "inet:tcp:10.0.0.1@22001"),
        pair("other/0x6e00000000000001:0x3", r#"{"state": "M0_NC_ONLINE"}"#),
        pair("leader", "ssu1"),
        { "Key": "m0conf/nodes/0x6e00000000000001:0x8", "Value": null },
        { "Key": "m0conf/nodes/0x6e00000000000001:0x9" },
    ]);
    assert_eq!(
        parsed(Watch::KeyPrefix, &payload),
        WatchUpdate::KeyPrefix {
            states: vec![
                (Fid::new(0x6b00_0000_0000_0001, 0x2a), HaState::Failed),
                (Fid::new(0x6e00_0000_0000_0001, 3), HaState::Online),
                (Fid::new(0x6e00_0000_0000_0001, 5), HaState::Transient),
            ],
            ignored: 10,
        }
    );
    let payload = json!([pair("leader", "x"), { "Key": "leader", "Value": "%%%" }]);
    let (path, what) = invalid(Watch::KeyPrefix, &payload);
    assert_eq!(path, "[1].Value");
    assert!(what.starts_with("not base64: "), "{what}");
}
