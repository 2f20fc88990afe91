use std::time::Duration;

use consul_client::{
    CheckKind, CheckSpec, CheckStatus, Consistency, Error, Registration, Response, RetryPolicy,
    ServiceRegistration, StateFilter, Watch, WatchOptions,
};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::fake::{Fake, failure, ok};
use crate::harness::{TestAgent, soon, unique};

fn quick() -> WatchOptions {
    WatchOptions {
        retry: RetryPolicy {
            min_delay: Duration::from_millis(5),
            max_delay: Duration::from_millis(50),
        },
        min_interval: Duration::from_millis(1),
        ..WatchOptions::default()
    }
}

async fn next<T>(watch: &mut Watch<T>) -> Result<Response<T>, Error> {
    soon("an item of the watch", watch.next())
        .await
        .expect("watches never end")
}

/// Reads items until one satisfies the condition.
async fn until<T>(watch: &mut Watch<T>, mut wanted: impl FnMut(&T) -> bool) -> Response<T> {
    loop {
        let item = next(watch).await.unwrap();
        if wanted(&item.value) {
            return item;
        }
    }
}

#[tokio::test]
async fn kv_prefix_and_key() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let root = format!("{}/", unique("watch"));
    let key = format!("{root}a");
    let mut prefix = client.watch(quick()).kv_prefix(&root);
    let mut single = client.watch(quick()).kv_key(&key);
    assert!(next(&mut prefix).await.unwrap().value.is_empty());
    assert_eq!(next(&mut single).await.unwrap().value, None);

    client.kv().put(&key, "1").await.unwrap();
    let item = until(&mut prefix, |pairs| pairs.len() == 1).await;
    assert!(!item.reset);
    until(&mut single, |pair| {
        pair.as_ref().is_some_and(|pair| pair.value == b"1")
    })
    .await;
    client.kv().put(&format!("{root}b"), "2").await.unwrap();
    until(&mut prefix, |pairs| pairs.len() == 2).await;
    client.kv().delete(&key).await.unwrap();
    until(&mut prefix, |pairs| pairs.len() == 1).await;
    until(&mut single, Option::is_none).await;
    client.kv().delete_prefix(&root).await.unwrap();
}

#[tokio::test]
async fn catalog_and_health() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let (node, name) = (unique("node"), unique("service"));
    let watcher = client.watch(quick());
    let mut nodes = watcher.nodes();
    let mut services = watcher.services();
    let mut instances = watcher.catalog_service(&name);
    let mut entries = watcher.health_service(&name);
    let mut critical = watcher.checks(StateFilter::Critical);
    assert!(
        next(&mut nodes)
            .await
            .unwrap()
            .value
            .iter()
            .any(|n| n.name == agent.node)
    );
    assert!(
        next(&mut services)
            .await
            .unwrap()
            .value
            .contains_key("consul")
    );
    assert!(next(&mut instances).await.unwrap().value.is_empty());
    assert!(next(&mut entries).await.unwrap().value.is_empty());
    next(&mut critical).await.unwrap();

    client
        .catalog()
        .register(&Registration::new(&node, "192.0.2.1"))
        .await
        .unwrap();
    until(&mut nodes, |nodes| nodes.iter().any(|n| n.name == node)).await;

    let mut service = ServiceRegistration::new(&name, &name);
    service.checks.push(CheckSpec::new(CheckKind::Ttl {
        ttl: Duration::from_secs(3600),
    }));
    client.agent().register_service(&service).await.unwrap();
    until(&mut services, |services| services.contains_key(&name)).await;
    until(&mut instances, |instances| instances.len() == 1).await;
    until(&mut critical, |checks| {
        checks.iter().any(|c| c.service_id == name)
    })
    .await;
    client
        .agent()
        .check_pass(&format!("service:{name}"), "")
        .await
        .unwrap();
    until(&mut entries, |entries| {
        entries.len() == 1 && entries[0].status() == CheckStatus::Passing
    })
    .await;
    until(&mut critical, |checks| {
        checks.iter().all(|c| c.service_id != name)
    })
    .await;
    client.agent().deregister_service(&name).await.unwrap();
    until(&mut entries, Vec::is_empty).await;
}

#[tokio::test]
async fn restart_with_an_empty_store_is_reported_and_survived() {
    let mut agent = TestAgent::start().await;
    let client = agent.client();
    for n in 0..50 {
        client.kv().put(&format!("data/{n}"), "x").await.unwrap();
    }
    let mut watch = client.watch(quick()).kv_prefix("data/");
    let before = next(&mut watch).await.unwrap();
    assert_eq!((before.value.len(), before.reset), (50, false));

    agent.stop();
    let error = next(&mut watch).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let error = client.kv().get("data/1").await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");

    agent.restart();
    let after = loop {
        match next(&mut watch).await {
            Ok(item) => break item,
            Err(error) => assert!(error.is_retryable(), "{error}"),
        }
    };
    assert!(after.value.is_empty());
    assert!(after.reset, "{} after {}", after.index, before.index);
    assert!(after.index < before.index);

    client.kv().put("data/new", "x").await.unwrap();
    let item = until(&mut watch, |pairs| pairs.len() == 1).await;
    assert!(!item.reset);
}

#[tokio::test]
async fn unchanged_index_is_no_item() {
    let fake = Fake::start(vec![ok(5, "[]"), ok(5, "[]"), ok(5, "[]"), ok(6, "[]")]).await;
    let mut watch = fake.client().watch(quick()).nodes();
    assert_eq!(next(&mut watch).await.unwrap().index.0, 5);
    assert_eq!(next(&mut watch).await.unwrap().index.0, 6);
    assert_eq!(fake.more_requests(), 4);
}

#[tokio::test]
async fn backwards_index_is_read_anew() {
    let mut fake = Fake::start(vec![ok(9, "[]"), ok(4, "[]"), ok(4, "[]"), ok(5, "[]")]).await;
    let mut watch = fake.client().watch(quick()).nodes();
    let items = [
        next(&mut watch).await.unwrap(),
        next(&mut watch).await.unwrap(),
        next(&mut watch).await.unwrap(),
    ];
    assert_eq!(
        items.map(|item| (item.index.0, item.reset)),
        [(9, false), (4, true), (5, false)]
    );
    let lines = [
        fake.request().await,
        fake.request().await,
        fake.request().await,
        fake.request().await,
    ];
    let index = |line: &String| {
        [9, 4]
            .into_iter()
            .find(|n| line.contains(&format!("index={n}")))
    };
    assert_eq!(lines.each_ref().map(index), [None, Some(9), None, Some(4)]);
}

#[tokio::test]
async fn index_zero_is_waited_for_as_one() {
    let mut fake = Fake::start(vec![ok(0, "[]")]).await;
    let options = WatchOptions {
        consistency: Consistency::Stale,
        ..quick()
    };
    let mut watch = fake.client().watch(options).nodes();
    next(&mut watch).await.unwrap();
    fake.request().await;
    let line = tokio::select! {
        item = watch.next() => panic!("{item:?}"),
        line = fake.request() => line,
    };
    assert!(
        line.starts_with("GET /v1/catalog/nodes?stale&index=1&wait=300000ms "),
        "{line}"
    );
}

#[tokio::test]
async fn an_outage_is_one_error_and_its_end_one_item() {
    let no_leader = || failure("500 Internal Server Error", "No cluster leader");
    let fake = Fake::start(vec![
        ok(7, "[]"),
        no_leader(),
        no_leader(),
        no_leader(),
        failure("403 Forbidden", "Permission denied"),
        failure("403 Forbidden", "Permission denied"),
        ok(7, "[]"),
        no_leader(),
        ok(8, "[]"),
    ])
    .await;
    let mut watch = fake.client().watch(quick()).nodes();
    assert_eq!(next(&mut watch).await.unwrap().index.0, 7);
    assert!(matches!(
        next(&mut watch).await,
        Err(Error::NoLeader { .. })
    ));
    assert!(matches!(
        next(&mut watch).await,
        Err(Error::Permission { .. })
    ));
    let item = next(&mut watch).await.unwrap();
    assert_eq!((item.index.0, item.reset), (7, false));
    assert!(matches!(
        next(&mut watch).await,
        Err(Error::NoLeader { .. })
    ));
    assert_eq!(next(&mut watch).await.unwrap().index.0, 8);
}

#[tokio::test]
async fn dropping_the_stream_cancels_the_query() {
    let mut fake = Fake::start(vec![ok(1, "[]")]).await;
    let mut watch = fake.client().watch(quick()).nodes();
    next(&mut watch).await.unwrap();
    fake.request().await;
    // The second query hangs; polling the stream starts it.
    tokio::select! {
        item = watch.next() => panic!("{item:?}"),
        line = fake.request() => assert!(line.contains("index=1")),
    }
    drop(watch);
    fake.hangup().await;
}

#[tokio::test]
async fn a_cancelled_next_loses_nothing() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let key = unique("cancel");
    let mut watch = client.watch(quick()).kv_key(&key);
    next(&mut watch).await.unwrap();
    for n in 0..20 {
        // Gives up while the query is under way.
        let _ = tokio::time::timeout(Duration::from_millis(1), watch.next()).await;
        client.kv().put(&key, n.to_string()).await.unwrap();
    }
    until(&mut watch, |pair| {
        pair.as_ref().is_some_and(|pair| pair.value == b"19")
    })
    .await;
    client.kv().delete(&key).await.unwrap();
}

#[tokio::test]
async fn a_busy_index_is_followed_at_the_set_rate() {
    let fake = Fake::start((1..=5).map(|n| ok(n, "[]")).collect()).await;
    let interval = Duration::from_millis(40);
    let options = WatchOptions {
        min_interval: interval,
        ..quick()
    };
    let mut watch = fake.client().watch(options).nodes();
    let begin = Instant::now();
    for _ in 0..5 {
        next(&mut watch).await.unwrap();
    }
    assert!(begin.elapsed() >= interval * 4, "{:?}", begin.elapsed());
}
