use std::time::Duration;

use consul_client::{
    Attempt, Behavior, CheckKind, CheckSpec, CheckStatus, Checks, Client, Error, NewSession,
    SERF_HEALTH, ServiceRegistration, SessionId, TxnOp,
};

use crate::harness::{TestAgent, eventually, unique};

const UNKNOWN: &str = "11111111-1111-1111-1111-111111111111";

fn unbound(name: &str, lock_delay: Duration) -> NewSession {
    NewSession {
        checks: Checks::none(),
        lock_delay,
        ..NewSession::new(name)
    }
}

/// A service with a TTL check, waited for until the servers know it.
async fn service(client: &Client, id: &str) -> String {
    let mut check = CheckSpec::new(CheckKind::Ttl {
        ttl: Duration::from_secs(3600),
    });
    check.status = Some(CheckStatus::Passing);
    let mut service = ServiceRegistration::new(id, id);
    service.checks.push(check);
    client.agent().register_service(&service).await.unwrap();
    eventually("the check is in the catalog", || async {
        (!client.health().checks(id).await.unwrap().value.is_empty()).then_some(())
    })
    .await;
    format!("service:{id}")
}

async fn gone(client: &Client, id: &SessionId) {
    eventually("the session ends", || async {
        client
            .session()
            .info(id)
            .await
            .unwrap()
            .value
            .is_none()
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn lifecycle() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let name = unique("session");
    let wanted = NewSession {
        node: Some(agent.node.clone()),
        lock_delay: Duration::from_millis(2500),
        behavior: Behavior::Delete,
        ttl: Some(Duration::from_secs(90)),
        ..NewSession::new(&name)
    };
    let id = client.session().create(&wanted).await.unwrap();

    let info = client.session().info(&id).await.unwrap().value.unwrap();
    assert_eq!(
        (&info.id, &info.name, &info.node),
        (&id, &name, &agent.node)
    );
    assert_eq!(info.lock_delay, wanted.lock_delay);
    assert_eq!(info.behavior, Behavior::Delete);
    assert_eq!(info.ttl, wanted.ttl);
    assert_eq!(info.node_checks, [SERF_HEALTH]);
    assert!(info.service_checks.is_empty());

    let has = |list: &[consul_client::SessionInfo]| list.iter().any(|s| s.id == id);
    assert!(has(&client.session().list().await.unwrap().value));
    assert!(has(&client
        .session()
        .node(&agent.node)
        .await
        .unwrap()
        .value));
    assert!(
        client
            .session()
            .node("nowhere")
            .await
            .unwrap()
            .value
            .is_empty()
    );

    assert_eq!(client.session().renew(&id).await.unwrap().unwrap().id, id);
    client.session().destroy(&id).await.unwrap();
    client.session().destroy(&id).await.unwrap();
    assert_eq!(client.session().renew(&id).await.unwrap(), None);
    assert_eq!(client.session().info(&id).await.unwrap().value, None);
}

#[tokio::test]
async fn default_session_has_consuls_defaults() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let id = client.session().create(&NewSession::new("")).await.unwrap();
    let info = client.session().info(&id).await.unwrap().value.unwrap();
    assert_eq!(info.lock_delay, Duration::from_secs(15));
    assert_eq!((info.ttl, info.behavior), (None, Behavior::Release));
    client.session().destroy(&id).await.unwrap();
}

#[tokio::test]
async fn critical_service_check_ends_the_sessions_bound_to_it() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let id = unique("bound");
    let check = service(&client, &id).await;
    let with = |checks| NewSession {
        checks,
        lock_delay: Duration::ZERO,
        ..NewSession::new("bound")
    };
    let both = with(Checks::serf_health().and_service(&check));
    let alone = with(Checks::none().and_service(&check));
    let both = client.session().create(&both).await.unwrap();
    let alone = client.session().create(&alone).await.unwrap();
    let free = client
        .session()
        .create(&with(Checks::none()))
        .await
        .unwrap();
    let info = client.session().info(&both).await.unwrap().value.unwrap();
    assert_eq!(info.node_checks, [SERF_HEALTH]);
    assert_eq!(info.service_checks, [check.as_str()]);

    let key = unique("held");
    assert_eq!(
        client.lock().acquire(&key, &both, "x").await.unwrap(),
        Attempt::Acquired
    );
    client.agent().check_warn(&check, "ill").await.unwrap();
    eventually("the warning is in the catalog", || async {
        let checks = client.health().checks(&id).await.unwrap().value;
        (checks[0].status == CheckStatus::Warning).then_some(())
    })
    .await;
    assert!(client.session().info(&both).await.unwrap().value.is_some());

    client.agent().check_fail(&check, "dead").await.unwrap();
    gone(&client, &both).await;
    gone(&client, &alone).await;
    assert!(client.session().info(&free).await.unwrap().value.is_some());
    assert_eq!(client.lock().holder(&key).await.unwrap().value, None);
    let pair = client.kv().get(&key).await.unwrap().value.unwrap();
    assert_eq!(pair.text().unwrap(), "x");

    let again = with(Checks::none().and_service(&check));
    let error = client.session().create(&again).await.unwrap_err();
    assert!(
        error.is_retryable(),
        "a critical check may recover: {error}"
    );
    client.session().destroy(&free).await.unwrap();
    client.agent().deregister_service(&id).await.unwrap();
}

#[tokio::test]
async fn keys_of_a_deleting_session_vanish() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let session = NewSession {
        behavior: Behavior::Delete,
        ..unbound("delete", Duration::ZERO)
    };
    let id = client.session().create(&session).await.unwrap();
    let key = unique("ephemeral");
    assert!(client.kv().acquire(&key, "x", &id).await.unwrap());
    client.session().destroy(&id).await.unwrap();
    assert_eq!(client.kv().get(&key).await.unwrap().value, None);
}

#[tokio::test]
async fn lock_contention() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let key = unique("lock");
    let session = unbound("lock", Duration::from_secs(60));
    let one = client.session().create(&session).await.unwrap();
    let two = client.session().create(&session).await.unwrap();
    let lock = client.lock();

    assert_eq!(lock.holder(&key).await.unwrap().value, None);
    assert_eq!(
        lock.acquire(&key, &one, "one").await.unwrap(),
        Attempt::Acquired
    );
    assert_eq!(
        lock.acquire(&key, &one, "one again").await.unwrap(),
        Attempt::Acquired
    );
    match lock.acquire(&key, &two, "two").await.unwrap() {
        Attempt::Held { session, pair } => {
            assert_eq!(session, one);
            assert_eq!(pair.text().unwrap(), "one again");
        }
        other => panic!("{other:?}"),
    }
    assert!(!lock.release(&key, &two, "").await.unwrap());
    assert!(lock.release(&key, &one, "free").await.unwrap());
    assert_eq!(lock.holder(&key).await.unwrap().value, None);
    // A release starts no lock-delay.
    assert_eq!(
        lock.acquire(&key, &two, "two").await.unwrap(),
        Attempt::Acquired
    );
    let (holder, pair) = lock.holder(&key).await.unwrap().value.unwrap();
    assert_eq!((holder, pair.text().unwrap()), (two.clone(), "two"));

    // The end of a holder's session does.
    client.session().destroy(&two).await.unwrap();
    assert_eq!(
        lock.acquire(&key, &one, "one").await.unwrap(),
        Attempt::Delayed
    );
    let result = client
        .txn()
        .commit(&[TxnOp::lock(&key, "one", one.clone())])
        .await;
    assert!(matches!(result, Err(Error::Aborted(_))), "{result:?}");
    client.session().destroy(&one).await.unwrap();
}

#[tokio::test]
async fn lock_delay_ends() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let key = unique("delay");
    let short = unbound("short", Duration::from_millis(300));
    let one = client.session().create(&short).await.unwrap();
    let two = client.session().create(&short).await.unwrap();
    let lock = client.lock();
    assert_eq!(
        lock.acquire(&key, &one, "").await.unwrap(),
        Attempt::Acquired
    );
    client.session().destroy(&one).await.unwrap();
    eventually("the lock-delay ends", || async {
        (lock.acquire(&key, &two, "").await.unwrap() == Attempt::Acquired).then_some(())
    })
    .await;
    client.session().destroy(&two).await.unwrap();
}

#[tokio::test]
async fn unknown_session_is_final() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let id: SessionId = UNKNOWN.parse().unwrap();
    let error = client
        .lock()
        .acquire(&unique("lock"), &id, "")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::SessionInvalid { .. }), "{error}");
    assert!(!error.is_retryable());
}
