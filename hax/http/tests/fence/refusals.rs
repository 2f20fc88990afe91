//! What is refused, and with which words.

use super::*;

#[tokio::test]
async fn every_route_says_that_fencing_is_not_configured() {
    let router = router(Recorder::accepting(), &Limits::default());
    for (method, path, body) in routes() {
        let (status, code, detail) = refusal(&router, request(method, &path, body)).await;
        assert_eq!((status, code.as_str()), (404, "not-configured"), "{path}");
        assert!(detail.contains("[fence]"), "{detail}");
    }
}

#[tokio::test]
async fn a_page_in_a_browser_changes_nothing() {
    let mut scene = Scene::new();
    for (method, path, body) in routes() {
        if method == "GET" {
            continue;
        }
        let text = body.unwrap().to_string();
        // What a form can send without asking first, and what says twice what it is.
        let form = [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
        ];
        for kinds in [
            &[][..],
            &form[..1],
            &form[1..2],
            &form[2..],
            &["application/json", form[0]],
        ] {
            let mut request = Request::builder().method(method).uri(&path);
            for kind in kinds {
                request = request.header(header::CONTENT_TYPE, *kind);
            }
            let request = request.body(Body::from(text.clone())).unwrap();
            let (status, code, _) = refusal(&scene.router, request).await;
            assert_eq!(
                (status, code.as_str()),
                (415, "not_json"),
                "{path} {kinds:?}"
            );
        }
        // A page whose own name points to this machine may send JSON.
        let request = Request::builder().method(method).uri(&path);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let request = request.header(header::ORIGIN, "http://elsewhere.example:8008");
        let request = request.body(Body::from(text)).unwrap();
        let (status, code, _) = refusal(&scene.router, request).await;
        assert_eq!((status, code.as_str()), (403, "cross_site"), "{path}");
    }
    assert!(scene.is_quiet());
}

#[tokio::test]
async fn a_refusal_has_its_status_and_its_words() {
    use model::Refusal as R;
    let mut scene = Scene::new();
    for (why, status, code) in [
        (R::NoQuorum, 503, "no-quorum"),
        (R::StartupGrace, 503, "startup-grace"),
        (R::UnknownTarget, 404, "unknown-target"),
        (R::NotConfigured, 404, "not-configured"),
        (R::Stopping, 503, "stopping"),
        (R::NoDevice, 409, "no-device"),
        (R::NoPeer, 409, "no-peer"),
        (R::Inhibited, 409, "inhibited"),
        (R::Quarantined, 409, "quarantined"),
        (R::Busy, 409, "busy"),
        (R::NoOperation, 404, "no-operation"),
    ] {
        // The words are those of the records.
        assert_eq!(serde_json::to_value(why).unwrap(), code);
        let request = request("POST", "/v1/fence/run", Some(run_body()));
        let reply = scene.with(request, |command| {
            let Command::Request(_, reply) = command else {
                panic!("{command:?}")
            };
            reply.send(Err(Refused::new(why, "so it is"))).unwrap();
        });
        let reply = reply.await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json["error"]),
            (status, &json!(code))
        );
        let detail = reply.json["detail"].as_str().unwrap();
        assert!(detail.ends_with(": so it is"), "{detail}");
    }
}

#[tokio::test]
async fn a_coordinator_that_has_ended_is_a_bridge_that_stops() {
    let Scene {
        router, commands, ..
    } = Scene::new();
    drop(commands);
    for (method, path, body) in [
        ("POST", "/v1/fence/run", Some(run_body())),
        ("GET", "/v1/fence/plan?target=ssu2", None),
    ] {
        let reply = ask(&router, request(method, path, body)).await;
        assert_eq!(
            (reply.status.as_u16(), &reply.json["error"]),
            (503, &json!("stopping")),
            "{path}"
        );
        assert_eq!(reply.headers[header::RETRY_AFTER], "1", "{path}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_quite_right_does_nothing() {
    let mut scene = Scene::new();
    let run = "/v1/fence/run";
    for (path, body, status, words) in [
        (run, json!({}), 422, "missing field"),
        (
            run,
            json!(["ssu2", "off", "root", "why"]),
            422,
            "is not a JSON object",
        ),
        (
            run,
            with(run_body(), "targt", json!("ssu1")),
            422,
            "unknown field `targt`",
        ),
        (
            run,
            with(run_body(), "target", json!("../x")),
            422,
            "target: \"../x\" is not the name",
        ),
        (
            run,
            with(run_body(), "action", json!("kill")),
            422,
            "action: unknown variant `kill`",
        ),
        (
            run,
            with(run_body(), "who", json!(" ")),
            422,
            "who: is empty",
        ),
        (
            run,
            with(run_body(), "reason", json!("a\nb")),
            422,
            "reason: has a control character",
        ),
        (
            run,
            with(run_body(), "reason", json!("x".repeat(513))),
            422,
            "longer than 512 bytes",
        ),
        (
            run,
            with(run_body(), "tolerance_ms", json!(-3)),
            422,
            "tolerance_ms",
        ),
        (
            run,
            with(run_body(), "tolerance_ms", json!("abc")),
            422,
            "tolerance_ms",
        ),
        (
            run,
            with(run_body(), "expire_ms", json!(1)),
            422,
            "expire_ms: 1 is not within",
        ),
        (
            run,
            with(run_body(), "delay_ms", json!(600_001)),
            422,
            "delay_ms",
        ),
        (
            run,
            with(run_body(), "reason", json!("x".repeat(17 << 10))),
            413,
            "16384 bytes",
        ),
        (
            "/v1/fence/nodes/ssu2/confirm",
            json!({ "who": "root" }),
            422,
            "`reason`",
        ),
        (
            "/v1/fence/nodes/-x/release",
            by(),
            400,
            "is not the name of a node",
        ),
        (
            "/v1/fence/nodes/a%2Fb/release",
            by(),
            400,
            "is not the name of a node",
        ),
        (
            "/v1/fence/ops/7/cancel",
            by(),
            400,
            "is not the number of an operation",
        ),
        (
            "/v1/fence/devices/a%20b/ping",
            json!({}),
            400,
            "is not the name of a device",
        ),
        (
            "/v1/fence/devices/pdu/ping",
            json!({ "x": 1 }),
            422,
            "unknown field `x`",
        ),
    ] {
        let (code, _, detail) = refusal(&scene.router, request("POST", path, Some(body))).await;
        assert_eq!(code, status, "{path}: {detail}");
        assert!(detail.contains(words), "{path}: {words:?} in {detail}");
    }
    for for_ms in [json!(0), json!(31 * 86_400_000_u64), json!(-1), json!(null)] {
        let body = Some(with(by(), "for_ms", for_ms));
        let request = request("PUT", "/v1/fence/inhibit", body);
        assert_eq!(refusal(&scene.router, request).await.0, 422);
    }
    for text in ["", "{", "{}{}"] {
        let mut request = request("POST", run, None);
        *request.body_mut() = Body::from(text);
        let status = refusal(&scene.router, request).await.0;
        assert!([400, 422].contains(&status), "{text:?}: {status}");
    }
    assert!(scene.is_quiet());
}

#[tokio::test]
async fn an_operation_that_is_not_there_or_has_ended_is_not_changed() {
    let mut scene = Scene::new();
    let over = ended(operation("ssu2"), Outcome::Succeeded);
    let id = over.id.clone();
    scene.add(over);
    for word in ["cancel", "override"] {
        let path = format!("/v1/fence/ops/{id}/{word}");
        let (status, code, detail) =
            refusal(&scene.router, request("POST", &path, Some(by()))).await;
        assert_eq!((status, code.as_str()), (409, "ended"), "{detail}");
        let path = format!("/v1/fence/ops/{}/{word}", OpId::new());
        let (status, code, _) = refusal(&scene.router, request("POST", &path, Some(by()))).await;
        assert_eq!((status, code.as_str()), (404, "no_operation"));
    }
    assert!(scene.is_quiet());
}
