//! What comes to the coordinator, and what is made of its answer.

use std::time::Duration;

use super::*;
use crate::fence::executor::Listed;
use crate::fence::model::{Ended, RunResult};
use crate::fence::{Ask, By, PlanReport, Taken};

#[tokio::test]
async fn a_request_is_taken_as_it_was_meant() {
    let mut scene = Scene::new();
    let op = OpId::new();
    let taken = Taken {
        op: op.clone(),
        merged: false,
    };
    let body = json!({
        "target": "0x7200000000000001:0x2@ssu2", "action": "reboot", "who": " root@ssu1 ",
        "reason": "its fan burns", "tolerance_ms": 5000, "device": "pdu", "delay_ms": 7,
        "expire_ms": 60_000, "override": true,
    });
    let reply = scene.with(request("POST", "/v1/fence/run", Some(body)), |command| {
        let Command::Request(ask, reply) = command else {
            panic!("{command:?}")
        };
        let expected = Ask {
            target: "0x7200000000000001:0x2@ssu2".parse().unwrap(),
            action: Action::Reboot,
            source: Source::Operator,
            who: "root@ssu1".to_owned(),
            reason: "its fan burns".to_owned(),
            tolerance: Duration::from_secs(5),
            device: Some("pdu".parse().unwrap()),
            delay: Duration::from_millis(7),
            overridden: true,
            expire: Some(Duration::from_secs(60)),
        };
        assert_eq!(ask, expected);
        reply.send(Ok(taken)).unwrap();
    });
    let reply = reply.await;
    let expected = json!({ "op": op, "merged": false });
    assert_eq!((reply.status.as_u16(), reply.json), (202, expected));
}

#[tokio::test]
async fn an_operator_speaks_to_the_coordinator() {
    let mut scene = Scene::new();
    let op = operation("ssu2");
    let id = op.id.clone();
    scene.add(op);
    let who = |by: By| assert_eq!((&*by.who, &*by.reason), ("root@ssu1", "its fan burns"));
    let target: Target = "0x7200000000000001:0x2@ssu2".parse().unwrap();

    let path = format!("/v1/fence/nodes/{target}/confirm");
    let reply = scene.with(
        request("POST", &path, Some(by())),
        |command| match command {
            Command::Confirm(asked, by, reply) if asked == target => {
                who(by);
                reply.send(Ok(id.clone())).unwrap();
            }
            other => panic!("{other:?}"),
        },
    );
    assert_eq!(reply.await.json, json!({ "op": id }));

    let request_of =
        |word: &str| request("POST", &format!("/v1/fence/ops/{id}/{word}"), Some(by()));
    let reply = scene.with(request_of("cancel"), |command| match command {
        Command::Cancel(asked, by, reply) if asked == id => {
            who(by);
            reply.send(Ok(())).unwrap();
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(reply.await.json, json!({ "op": id }));
    let reply = scene.with(request_of("override"), |command| match command {
        Command::Override(asked, by, reply) if asked == id => {
            who(by);
            reply.send(Ok(())).unwrap();
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(reply.await.json, json!({ "op": id }));

    let release = request("POST", "/v1/fence/nodes/ssu2/release", Some(by()));
    let reply = scene.with(release, |command| match command {
        Command::Release(asked, by, reply) if asked == node("ssu2") => {
            who(by);
            reply.send(Ok(())).unwrap();
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(reply.await.json, json!({ "released": "ssu2" }));

    for (method, path, expected, time, json) in [
        (
            "PUT",
            "/v1/fence/inhibit",
            None,
            60,
            json!({ "inhibited": "*" }),
        ),
        (
            "PUT",
            "/v1/fence/inhibit/ssu2",
            Some("ssu2"),
            60,
            json!({ "inhibited": "ssu2" }),
        ),
        (
            "DELETE",
            "/v1/fence/inhibit",
            None,
            0,
            json!({ "uninhibited": "*" }),
        ),
        (
            "DELETE",
            "/v1/fence/inhibit/ssu2",
            Some("ssu2"),
            0,
            json!({ "uninhibited": "ssu2" }),
        ),
    ] {
        let body = match method {
            "PUT" => with(by(), "for_ms", json!(60_000)),
            _ => by(),
        };
        let reply = scene.with(request(method, path, Some(body)), |command| match command {
            Command::Inhibit(target, duration, by, reply) => {
                assert_eq!(target, expected.map(|name| name.parse().unwrap()));
                assert_eq!(duration, Duration::from_secs(time));
                who(by);
                reply.send(Ok(())).unwrap();
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(reply.await.json, json, "{method} {path}");
    }
}

#[tokio::test]
async fn devices_are_asked_and_plans_made() {
    let mut scene = Scene::new();
    let run = Ended {
        result: RunResult::Unreachable,
        evidence: "no route".to_owned(),
        took_ms: 3,
    };
    // An empty body is as good as `{}`.
    let ping = request("POST", "/v1/fence/devices/pdu/ping", None);
    let reply = scene.with(ping, |command| match command {
        Command::Ping(device, reply) if device.as_str() == "pdu" => {
            reply.send(Ok(run.clone())).unwrap();
        }
        other => panic!("{other:?}"),
    });
    let reply = reply.await;
    let shown = json!({ "result": "unreachable", "evidence": "no route", "took_ms": 3 });
    assert_eq!((reply.status.as_u16(), reply.json), (200, shown.clone()));

    let targets = request("GET", "/v1/fence/devices/pdu/targets", None);
    let reply = scene.with(targets, |command| match command {
        Command::Targets(device, reply) if device.as_str() == "pdu" => {
            let port = Listed {
                port: "1".to_owned(),
                alias: None,
            };
            reply.send(Ok((run.clone(), vec![port]))).unwrap();
        }
        other => panic!("{other:?}"),
    });
    let expected = with(shown, "targets", json!([{ "port": "1", "alias": null }]));
    assert_eq!(reply.await.json, expected);

    let plan = request("GET", "/v1/fence/plan?target=ssu2", None);
    let reply = scene.with(plan, |command| match command {
        Command::Plan(target, Action::Off, reply) => {
            let report = PlanReport {
                target,
                action: Action::Off,
                plan: None,
                steps: Vec::new(),
                worst_ms: 12,
                gates: vec!["inhibited".to_owned()],
            };
            reply.send(Ok(report)).unwrap();
        }
        other => panic!("{other:?}"),
    });
    assert_eq!(reply.await.json["worst_ms"], 12);
    for query in [
        "",
        "?action=off",
        "?target=a%20b",
        "?target=ssu2&x=1",
        "?target=ssu2&action=x",
    ] {
        let path = format!("/v1/fence/plan{query}");
        let (status, code, _) = refusal(&scene.router, request("GET", &path, None)).await;
        assert_eq!((status, code.as_str()), (400, "invalid"), "{query}");
    }
}
