//! Operations and the state.

use consul_client::KvPair;

use super::*;
use crate::fence::model::keys;

#[tokio::test]
async fn operations_are_listed_the_newest_first() {
    let scene = Scene::new();
    let mut all = Vec::new();
    for (n, target) in ["ssu1", "ssu2", "ssu1"].into_iter().enumerate() {
        let mut op = operation(target);
        // Of numbers made within one millisecond, order is not promised.
        op.id = format!("01900000-0000-7000-8000-00000000000{n}")
            .parse()
            .unwrap();
        let op = if n == 0 {
            ended(op, Outcome::Failed)
        } else {
            op
        };
        all.push(op.id.to_string());
        scene.add(op);
    }
    for (query, expected) in [
        ("", vec![2, 1, 0]),
        ("?limit=2", vec![2, 1]),
        ("?target=ssu1", vec![2, 0]),
        ("?target=ssu1&limit=1", vec![2]),
        ("?outcome=failed", vec![0]),
        ("?outcome=open&action=off", vec![2, 1]),
        ("?action=on", vec![]),
    ] {
        let reply = scene.get(&format!("/v1/fence/ops{query}")).await;
        let ids = reply.json["ops"].as_array().unwrap().iter();
        let ids: Vec<&str> = ids.map(|op| op["id"].as_str().unwrap()).collect();
        let expected: Vec<&str> = expected.into_iter().map(|n: usize| &*all[n]).collect();
        assert_eq!(ids, expected, "{query}");
    }
    for query in [
        "?limit=0",
        "?limit=1001",
        "?limit=x",
        "?target=",
        "?outcome=dead",
        "?x=1",
    ] {
        let path = format!("/v1/fence/ops{query}");
        let (status, code, _) = refusal(&scene.router, request("GET", &path, None)).await;
        assert_eq!((status, code.as_str()), (400, "invalid"), "{query}");
    }
}

#[tokio::test]
async fn whoever_waits_is_told_the_end() {
    let scene = Scene::new();
    let op = operation("ssu2");
    let path = format!("/v1/fence/ops/{}", op.id);
    // The view may be behind a request that was committed.
    let waiting = format!("{path}?wait=60");
    let (reply, ()) = tokio::join!(scene.get(&waiting), async {
        tokio::task::yield_now().await;
        scene.add(op.clone());
        tokio::task::yield_now().await;
        scene.add(ended(op.clone(), Outcome::Succeeded));
    });
    assert_eq!(reply.json["phase"]["outcome"], "succeeded");
    assert_eq!(scene.get(&path).await.json["target"], "ssu2");
    for query in ["?wait=61", "?wait=-1", "?wait=x", "?weit=1"] {
        let request = request("GET", &format!("{path}{query}"), None);
        assert_eq!(refusal(&scene.router, request).await.0, 400, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let scene = Scene::new();
    let op = operation("ssu2");
    scene.add(op.clone());
    let reply = scene.get(&format!("/v1/fence/ops/{}?wait=30", op.id)).await;
    assert_eq!(reply.json["phase"]["phase"], "requested");
    let unknown = format!("/v1/fence/ops/{}?wait=30", OpId::new());
    let (status, code, _) = refusal(&scene.router, request("GET", &unknown, None)).await;
    assert_eq!((status, code.as_str()), (404, "no_operation"));
    // A coordinator that does not answer.
    let (status, code, _) = refusal(
        &scene.router,
        request("POST", "/v1/fence/run", Some(run_body())),
    )
    .await;
    assert_eq!((status, code.as_str()), (503, "busy"));
}

#[tokio::test]
async fn few_may_wait_at_once() {
    let (view, receiver) = watch::channel(Arc::<FenceView>::default());
    let (handle, _commands) = FenceHandle::new(receiver);
    let mut bridge = Recorder::accepting();
    bridge.fence = Some(handle);
    let limits = Limits {
        waiting: 1,
        ..Limits::default()
    };
    let router = router(bridge, &limits);
    let op = operation("ssu2");
    let path = format!("/v1/fence/ops/{}?wait=60", op.id);
    let first = ask(&router, request("GET", &path, None));
    let (first, second) = tokio::join!(first, async {
        let second = refusal(&router, request("GET", &path, None)).await;
        view.send_modify(|view| {
            let value = ended(op.clone(), Outcome::Expired);
            let stored = Stored {
                value,
                index: Index(1),
            };
            Arc::make_mut(view).ops.insert(op.id.clone(), stored);
        });
        second
    });
    assert_eq!((second.0, second.1.as_str()), (503, "busy"));
    assert_eq!(first.json["phase"]["outcome"], "expired");
}

fn pair(key: String, value: Value, session: Option<&str>) -> KvPair {
    serde_json::from_value(json!({
        "Key": key, "Flags": 0, "CreateIndex": 1, "ModifyIndex": 1, "LockIndex": 0,
        "Value": base64::Engine::encode(&base64::engine::general_purpose::STANDARD, value.to_string()),
        "Session": session,
    }))
    .unwrap()
}

#[tokio::test]
async fn the_status_is_what_is_stored() {
    let scene = Scene::new();
    let session = "11111111-1111-1111-1111-111111111111";
    let op = operation("ssu2");
    let drilled = json!({ "devices": { "pdu": { "drilled": { "ssu2": 1_000 }, "verified": 5 } } });
    let pairs = [
        pair(keys::peer(&node("ssu1")), drilled, Some(session)),
        pair(keys::peer(&node("ssu2")), json!({ "boot_id": "b" }), None),
        pair(
            keys::node(&node("ssu3")),
            json!({ "epoch": 4, "quarantined": "thrice" }),
            None,
        ),
        pair(keys::op(&op.id), serde_json::to_value(&op).unwrap(), None),
        pair(
            keys::INHIBIT_ALL.to_owned(),
            json!({ "until": 1, "who": "x", "reason": "y" }),
            None,
        ),
        pair("fence/nodes/ssu9".to_owned(), json!("nonsense"), None),
    ];
    scene.view.send_replace(Arc::new(FenceView::parse(&pairs)));
    let json = scene.get("/v1/fence").await.json;
    assert_eq!(
        (&json["enabled"], &json["node"]),
        (&json!(true), &json!("ssu1"))
    );
    assert_eq!(json["session"], session);
    assert_eq!(
        (&json["peers"][0]["alive"], &json["peers"][1]["alive"]),
        (&json!(true), &json!(false))
    );
    let fenced = json!([{ "node": "ssu3", "epoch": 4, "quarantined": "thrice" }]);
    assert_eq!(json["nodes"], fenced);
    assert_eq!(json["operations"][0]["phase"], "requested");
    assert_eq!(json["inhibits"][0]["target"], "*");
    assert_eq!(json["inhibits"][0]["remaining_ms"], 0);
    assert!(json["malformed"]["fence/nodes/ssu9"].is_string());
    let ready = json["readiness"].as_array().unwrap();
    assert_eq!(
        (&ready[0]["node"], &ready[0]["age_ms"]),
        (&json!("ssu1"), &Value::Null)
    );
    assert_eq!(
        (&ready[1]["node"], &ready[1]["peer"]),
        (&json!("ssu2"), &json!("ssu1"))
    );
    assert!(ready[1]["age_ms"].as_u64().unwrap() > 1_000_000);

    let devices = scene.get("/v1/fence/devices").await.json;
    assert_eq!(devices["devices"][0]["device"], "pdu");
    assert_eq!(devices["devices"][0]["reach"]["ssu1"]["verified"], 5);
}
