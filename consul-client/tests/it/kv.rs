use std::time::Duration;

use consul_client::{Condition, Consistency, Error, Index, KV_MAX_VALUE, PutOptions, ReadOptions};

use crate::harness::{TestAgent, unique};

#[tokio::test]
async fn put_get_delete() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let kv = client.kv();
    let key = unique("kv");

    let missing = kv.get(&key).await.unwrap();
    assert_eq!(missing.value, None);
    assert!(missing.known_leader);

    let options = PutOptions {
        flags: 42,
        condition: Condition::None,
    };
    assert!(kv.put_with(&key, [0u8, 255, 10], &options).await.unwrap());
    let read = kv.get(&key).await.unwrap();
    let pair = read.value.unwrap();
    assert_eq!(
        (pair.key.as_str(), pair.flags, &pair.session),
        (key.as_str(), 42, &None)
    );
    assert_eq!(pair.value, [0, 255, 10]);
    assert_eq!(read.index, pair.modify_index);
    assert!(pair.text().is_err());

    kv.put(&key, "").await.unwrap();
    assert_eq!(kv.get(&key).await.unwrap().value.unwrap().value, b"");

    kv.delete(&key).await.unwrap();
    kv.delete(&key).await.unwrap();
    assert_eq!(kv.get(&key).await.unwrap().value, None);
}

#[tokio::test]
async fn json_values() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let key = unique("json");
    client
        .kv()
        .put(&key, r#"{"state":"online"}"#)
        .await
        .unwrap();
    let pair = client.kv().get(&key).await.unwrap().value.unwrap();
    assert_eq!(pair.json::<serde_json::Value>().unwrap()["state"], "online");
    let error = pair.json::<Vec<u8>>().unwrap_err();
    assert!(
        matches!(&error, Error::Decode { path, .. } if *path == key),
        "{error}"
    );
}

#[tokio::test]
async fn keys_with_special_characters() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let root = unique("special");
    for name in [
        "0x72:0x4",
        "a b",
        "q?x=1&y#z",
        "100%",
        "%2F",
        "ü/ñ",
        "a+b",
        "x/",
        "\"\\",
        "...",
        "a;b,c@d",
    ] {
        let key = format!("{root}/{name}");
        client.kv().put(&key, name).await.unwrap();
        let pair = client.kv().get(&key).await.unwrap().value.unwrap();
        assert_eq!(pair.key, key);
        assert_eq!(pair.text().unwrap(), name);
        let listed = client.kv().list(&key).await.unwrap().value;
        assert!(listed.iter().any(|pair| pair.key == key), "{key}");
    }
    for key in ["", "/x", "a//b", "a/../b"] {
        let error = client.kv().put(key, "").await.unwrap_err();
        assert!(matches!(error, Error::InvalidKey { .. }), "{key}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn list_keys_and_delete_prefix() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let kv = client.kv();
    let root = format!("{}/", unique("tree"));

    let none = kv.list(&root).await.unwrap();
    assert!(none.value.is_empty());
    assert!(kv.keys(&root, None).await.unwrap().value.is_empty());

    for name in ["b/2", "a", "b/1", "c/d/e"] {
        kv.put(&format!("{root}{name}"), name).await.unwrap();
    }
    let list = kv.list(&root).await.unwrap();
    let texts: Vec<_> = list.value.iter().map(|pair| pair.text().unwrap()).collect();
    assert_eq!(texts, ["a", "b/1", "b/2", "c/d/e"]);

    let keys = kv.keys(&root, None).await.unwrap().value;
    assert_eq!(
        keys,
        ["a", "b/1", "b/2", "c/d/e"].map(|name| format!("{root}{name}"))
    );
    let top = kv.keys(&root, Some("/")).await.unwrap();
    assert_eq!(
        top.value,
        ["a", "b/", "c/"].map(|name| format!("{root}{name}"))
    );
    assert_eq!(top.index, list.index);
    assert!(kv.keys("", Some("/")).await.unwrap().value.contains(&root));

    assert!(matches!(
        kv.delete_prefix("").await,
        Err(Error::InvalidKey { .. })
    ));
    kv.delete_prefix(&format!("{root}b/")).await.unwrap();
    assert_eq!(kv.list(&root).await.unwrap().value.len(), 2);
    kv.delete_prefix(&root).await.unwrap();
    assert!(kv.list(&root).await.unwrap().value.is_empty());
}

#[tokio::test]
async fn check_and_set() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let kv = client.kv();
    let key = unique("cas");

    assert!(kv.cas(&key, "one", Index(0)).await.unwrap());
    assert!(!kv.cas(&key, "again", Index(0)).await.unwrap());
    let first = kv.get(&key).await.unwrap().value.unwrap();
    assert!(kv.cas(&key, "two", first.modify_index).await.unwrap());
    assert!(!kv.cas(&key, "three", first.modify_index).await.unwrap());
    let second = kv.get(&key).await.unwrap().value.unwrap();
    assert_eq!(second.text().unwrap(), "two");

    assert!(!kv.delete_cas(&key, first.modify_index).await.unwrap());
    assert!(matches!(
        kv.delete_cas(&key, Index(0)).await,
        Err(Error::InvalidArgument { .. })
    ));
    assert!(kv.delete_cas(&key, second.modify_index).await.unwrap());
    assert_eq!(kv.get(&key).await.unwrap().value, None);
}

#[tokio::test]
async fn value_size_limit() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let key = unique("large");
    client.kv().put(&key, vec![7; KV_MAX_VALUE]).await.unwrap();
    assert_eq!(
        client
            .kv()
            .get(&key)
            .await
            .unwrap()
            .value
            .unwrap()
            .value
            .len(),
        KV_MAX_VALUE
    );
    let error = client
        .kv()
        .put(&key, vec![7; KV_MAX_VALUE + 1])
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { size, limit, .. } if size == limit + 1),
        "{error}"
    );
    assert!(!error.is_retryable());
    client.kv().delete(&key).await.unwrap();
}

#[tokio::test]
async fn consistency_modes() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let key = unique("consistency");
    client.kv().put(&key, "x").await.unwrap();
    for consistency in [
        Consistency::Default,
        Consistency::Consistent,
        Consistency::Stale,
    ] {
        let read = ReadOptions {
            consistency,
            wait: None,
        };
        assert!(
            client
                .kv()
                .with(read)
                .get(&key)
                .await
                .unwrap()
                .value
                .is_some(),
            "{read:?}"
        );
    }
}

#[tokio::test]
async fn a_waiting_read_returns_on_change_and_on_time() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let key = unique("wait");
    client.kv().put(&key, "old").await.unwrap();
    let known = client.kv().get(&key).await.unwrap().index;

    let unchanged = ReadOptions::default().waiting(known, Duration::from_millis(50));
    assert_eq!(
        client.kv().with(unchanged).get(&key).await.unwrap().index,
        known
    );

    let long = ReadOptions::default().waiting(known, Duration::from_secs(60));
    let (waiting, plain) = (client.kv().with(long), client.kv());
    let (changed, put) = tokio::join!(waiting.get(&key), plain.put(&key, "new"));
    put.unwrap();
    let changed = changed.unwrap();
    assert!(changed.index > known);
    assert_eq!(changed.value.unwrap().text().unwrap(), "new");
}
