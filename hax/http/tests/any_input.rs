//! Whatever is posted is answered, in JSON, and never with a failure of ours.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::*;

/// Arbitrary JSON, with the names payloads use, so that parsing gets far.
fn json_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("passing".to_owned()),
        Just("maintenance".to_owned()),
        Just("serfHealth".to_owned()),
        Just("m0conf/nodes/0x6e00000000000001:0x3".to_owned()),
        Just("0x7200000000000001:0x4".to_owned()),
        Just("eyJzdGF0ZSI6Ik0wX05DX0ZBSUxFRCJ9".to_owned()),
        "[0-9]{1,22}",
        "\\PC{0,12}",
    ];
    let name = prop_oneof![
        Just("Node"),
        Just("Service"),
        Just("ID"),
        Just("Checks"),
        Just("Status"),
        Just("CheckID"),
        Just("ServiceID"),
        Just("Key"),
        Just("Value"),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 64, 6, move |inner| {
        let fields = proptest::collection::btree_map(name.clone(), inner.clone(), 0..6);
        let object = fields.prop_map(|fields| {
            Value::Object(
                fields
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v))
                    .collect::<Map<_, _>>(),
            )
        });
        prop_oneof![
            proptest::collection::vec(inner, 0..6).prop_map(Value::from),
            object
        ]
    })
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        json_value().prop_map(|value| value.to_string().into_bytes()),
        proptest::collection::vec(json_value(), 0..4)
            .prop_map(|list| Value::from(list).to_string().into_bytes()),
        (json_value(), any::<proptest::sample::Index>()).prop_map(|(value, cut)| {
            let mut text = value.to_string().into_bytes();
            text.truncate(cut.index(text.len() + 1));
            text
        }),
        proptest::collection::vec(any::<u8>(), 0..200),
    ]
}

fn check(method: &str, path: &str, body: Vec<u8>) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bridge = Recorder::accepting();
        let router = router(bridge.clone(), &Limits::with_body(2048));
        let valid = serde_json::from_slice::<Value>(&body).is_ok();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::from(body))
            .unwrap();
        let reply = ask(&router, request).await;
        prop_assert!(
            !reply.status.is_server_error(),
            "{}: {}",
            reply.status,
            reply.json
        );
        if reply.status.is_success() {
            return Ok(());
        }
        prop_assert_eq!(bridge.updates().len(), 0);
        for field in ["error", "detail"] {
            prop_assert!(
                reply.json[field]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
            );
        }
        // JSON of the wrong shape is told from what is not JSON.
        let malformed = reply.json["error"] == "malformed_json";
        prop_assert!(!(valid && malformed), "{}", reply.json);
        Ok(())
    })
}

proptest! {
    #[test]
    fn any_body_on_any_watch_is_answered(route in 0..WATCH_ROUTES.len(), body in body()) {
        check("POST", WATCH_ROUTES[route], body)?;
    }

    #[test]
    fn any_path_and_method_is_answered(
        method in prop_oneof![Just("GET"), Just("POST"), Just("PUT"), Just("DELETE"), Just("OPTIONS"), Just("PATCH")],
        path in "/[a-z0-9/%.?&=_-]{0,30}",
        body in body(),
    ) {
        check(method, &path, body)?;
    }
}
