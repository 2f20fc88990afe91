use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const ID: &str = "550e8400-e29b-41d4-a716-446655440000";

fn request(action: &str) -> Request {
    Request {
        request_id: ID.parse().unwrap(),
        timestamp: "2025-10-20T14:30:00Z".to_owned(),
        action: action.to_owned(),
        target_node: "compute-node-3".parse().unwrap(),
        recorder_node: "mgmt-node-1".to_owned(),
    }
}

fn response(change: impl FnOnce(&mut Value)) -> Result<bool, Malformed> {
    response_to("reboot", change)
}

fn response_to(action: &str, change: impl FnOnce(&mut Value)) -> Result<bool, Malformed> {
    let mut value = json!({
        "request_id": ID,
        "success": true,
        "action_performed": action,
        "target_node": "compute-node-3",
        "message": "done",
        "timestamp": "2025-10-20T14:30:15Z",
    });
    change(&mut value);
    let response = Response::parse(value.to_string().as_bytes())?;
    response.answers(&request(action))?;
    Ok(response.success)
}

#[test]
fn a_request_is_written_as_the_protocol_has_it() {
    assert_eq!(
        serde_json::to_string(&request("reboot")).unwrap(),
        format!(
            r#"{{"request_id":"{ID}","timestamp":"2025-10-20T14:30:00Z","action":"reboot","target_node":"compute-node-3","recorder_node":"mgmt-node-1"}}"#
        )
    );
    let new = Request::new(Action::Off, "n1".parse().unwrap(), "m1".to_owned());
    assert_eq!(new.timestamp.len(), "2025-10-20T14:30:00Z".len());
    assert!(new.timestamp.ends_with('Z'), "{}", new.timestamp);
    let bytes = serde_json::to_vec(&new).unwrap();
    assert_eq!(Request::parse(&bytes).unwrap(), new);
    new.agrees(&new.file().unwrap()).unwrap();
}

#[test]
fn a_right_response_is_taken() {
    assert_eq!(response(|_| {}), Ok(true));
    assert_eq!(response(|it| it["success"] = json!(false)), Ok(false));
    assert_eq!(response(|it| it["more"] = json!({"of": "it"})), Ok(true));
    let off = |it: &mut Value| it["action_performed"] = json!("off");
    assert_eq!(response(off), Ok(true));
    let within = |it: &mut Value| it["timestamp"] = json!("2025-10-20T16:29:59.25+02:00");
    assert_eq!(response(within), Ok(true));
}

#[test]
fn no_hole_makes_a_success() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 14] = [
        ("a text is not a boolean", |it| {
            it["success"] = json!("true")
        }),
        ("nor is another one", |it| it["success"] = json!("false")),
        ("nor is a number", |it| it["success"] = json!(1)),
        ("nor is nothing", |it| it["success"] = Value::Null),
        ("another request", |it| {
            it["request_id"] = json!("550e8400-e29b-41d4-a716-446655440001");
        }),
        ("no request", |it| it["request_id"] = json!("x")),
        ("another target", |it| {
            it["target_node"] = json!("compute-node-4")
        }),
        ("a path", |it| {
            it["target_node"] = json!("../compute-node-3")
        }),
        ("a look", |it| it["action_performed"] = json!("status")),
        ("the other way", |it| it["action_performed"] = json!("on")),
        ("nothing done", |it| it["action_performed"] = json!("")),
        ("an older one", |it| {
            it["timestamp"] = json!("2025-10-20T14:29:54Z");
        }),
        ("no time", |it| it["timestamp"] = json!("yesterday")),
        ("no object", |it| *it = json!([true])),
    ];
    for (what, change) in changes {
        assert!(response(change).is_err(), "{what}");
    }
    let reboot = |it: &mut Value| it["action_performed"] = json!("reboot");
    assert!(response_to("off", reboot).is_err());
    assert!(response_to("on", reboot).is_err());
    assert!(response_to("status", |_| {}).is_err());
    for member in [
        "request_id",
        "success",
        "action_performed",
        "target_node",
        "timestamp",
    ] {
        let drop = |it: &mut Value| drop(it.as_object_mut().unwrap().remove(member));
        assert!(response(drop).is_err(), "{member}");
    }
    let twice = format!(
        r#"{{"request_id":"{ID}","success":false,"success":true,"action_performed":"off",
            "target_node":"compute-node-3","timestamp":"2025-10-20T14:30:15Z"}}"#
    );
    assert!(Response::parse(twice.as_bytes()).is_err());
}

#[test]
fn a_line_of_a_log_is_one_line() {
    let plain = plain("a\nb\r\u{1b}[0m\u{2028}c\u{85}d", 100);
    assert_eq!(plain, "a\\nb\\r\\u{1b}[0m\\u{2028}c\\u{85}d");
    assert_eq!(super::plain("ääää", 5), "ää");
}

proptest! {
    #[test]
    fn bytes_are_never_a_success(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Request::parse(&bytes);
        let answer = Response::parse(&bytes)
            .and_then(|response| response.answers(&request("reboot")).map(|()| response.success));
        prop_assert_ne!(answer, Ok(true));
    }

    #[test]
    fn a_cut_response_is_never_a_success(cut in 1_usize..150) {
        let whole = json!({
            "request_id": ID, "success": true, "action_performed": "reboot",
            "target_node": "compute-node-3", "timestamp": "2025-10-20T14:30:15Z",
        }).to_string();
        let part = &whole.as_bytes()[..whole.len().saturating_sub(cut)];
        prop_assert!(Response::parse(part).is_err());
    }
}
