use consul_client::{
    Checks, Error, Index, NewSession, TXN_MAX_BYTES, TXN_MAX_OPS, TxnAborted, TxnOp,
};

use crate::harness::{TestAgent, unique};

fn aborted(result: Result<Vec<consul_client::KvPair>, Error>) -> TxnAborted {
    match result {
        Err(Error::Aborted(aborted)) => aborted,
        other => panic!("not aborted: {other:?}"),
    }
}

#[tokio::test]
async fn commit_returns_pairs_in_order() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let root = unique("txn");
    let key = |name: &str| format!("{root}/{name}");

    let pairs = client
        .txn()
        .commit(&[
            TxnOp::check_not_exists(key("a")),
            TxnOp::set(key("a"), "1"),
            TxnOp::set(key("b"), vec![0, 255]),
            TxnOp::get(key("a")),
            TxnOp::get_tree(format!("{root}/")),
            TxnOp::get_tree(format!("{root}/none/")),
            TxnOp::delete(key("none")),
        ])
        .await
        .unwrap();
    let keys: Vec<_> = pairs.iter().map(|pair| pair.key.clone()).collect();
    assert_eq!(keys, [key("a"), key("b"), key("a"), key("a"), key("b")]);
    assert_eq!(pairs[2].text().unwrap(), "1");
    assert_eq!(pairs[4].value, [0, 255]);
    assert_eq!(client.txn().commit(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn conditions_abort_and_nothing_is_written() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let root = unique("abort");
    let (a, b) = (format!("{root}/a"), format!("{root}/b"));
    client.kv().put(&a, "1").await.unwrap();
    let index = client
        .kv()
        .get(&a)
        .await
        .unwrap()
        .value
        .unwrap()
        .modify_index;
    let wrong = Index(index.0 + 1_000_000);

    for condition in [
        TxnOp::check_not_exists(&a),
        TxnOp::check_index(&a, wrong),
        TxnOp::cas(&a, "2", wrong),
        TxnOp::cas(&a, "2", Index(0)),
        TxnOp::delete_cas(&a, wrong),
        TxnOp::get(format!("{root}/none")),
    ] {
        let result = client
            .txn()
            .commit(&[TxnOp::set(&b, "x"), condition.clone()])
            .await;
        let aborted = aborted(result);
        assert!(
            aborted.failed(1) && !aborted.failed(0),
            "{condition:?}: {aborted}"
        );
        assert!(!aborted.errors[0].what.is_empty());
        assert!(!Error::from(aborted).is_retryable());
        assert_eq!(
            client.kv().get(&b).await.unwrap().value,
            None,
            "{condition:?}"
        );
    }
    client
        .txn()
        .commit(&[
            TxnOp::check_index(&a, index),
            TxnOp::cas(&a, "2", index),
            TxnOp::cas(&b, "new", Index(0)),
        ])
        .await
        .unwrap();
    let pair = client.kv().get(&a).await.unwrap().value.unwrap();
    client
        .txn()
        .commit(&[TxnOp::delete_cas(&a, pair.modify_index)])
        .await
        .unwrap();
    client
        .txn()
        .commit(&[TxnOp::delete_tree(format!("{root}/"))])
        .await
        .unwrap();
    assert!(client.kv().list(&root).await.unwrap().value.is_empty());
}

#[tokio::test]
async fn locks_in_transactions() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let key = unique("txn-lock");
    let session = NewSession {
        checks: Checks::none(),
        ..NewSession::new("txn")
    };
    let one = client.session().create(&session).await.unwrap();
    let two = client.session().create(&session).await.unwrap();

    client
        .txn()
        .commit(&[TxnOp::lock(&key, "one", one.clone())])
        .await
        .unwrap();
    client
        .txn()
        .commit(&[TxnOp::check_session(&key, one.clone())])
        .await
        .unwrap();
    aborted(
        client
            .txn()
            .commit(&[TxnOp::check_session(&key, two.clone())])
            .await,
    );
    aborted(
        client
            .txn()
            .commit(&[TxnOp::lock(&key, "two", two.clone())])
            .await,
    );
    aborted(
        client
            .txn()
            .commit(&[TxnOp::unlock(&key, "two", two.clone())])
            .await,
    );
    client
        .txn()
        .commit(&[TxnOp::unlock(&key, "free", one.clone())])
        .await
        .unwrap();
    client
        .txn()
        .commit(&[TxnOp::lock(&key, "two", two.clone())])
        .await
        .unwrap();
    assert_eq!(
        client.kv().get(&key).await.unwrap().value.unwrap().session,
        Some(two.clone())
    );

    client.session().destroy(&one).await.unwrap();
    aborted(client.txn().commit(&[TxnOp::lock(&key, "one", one)]).await);
    client.session().destroy(&two).await.unwrap();
}

#[tokio::test]
async fn limits_are_those_of_consul() {
    let agent = TestAgent::shared().await;
    let client = agent.client();
    let root = unique("limit");
    let mut ops: Vec<_> = (0..TXN_MAX_OPS)
        .map(|n| TxnOp::set(format!("{root}/{n}"), "x"))
        .collect();
    assert_eq!(client.txn().commit(&ops).await.unwrap().len(), TXN_MAX_OPS);
    ops.push(TxnOp::get("a"));
    let error = client.txn().commit(&ops).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooManyOps {
                count: 65,
                limit: 64
            }
        ),
        "{error}"
    );

    // Exactly the largest transaction is accepted, one byte more is refused before it is sent.
    let key = format!("{root}/large");
    let room = TXN_MAX_BYTES - 1 - TxnOp::set(&key, "").encoded_len();
    let value = vec![0; room / 4 * 3];
    let padding = "k".repeat(room % 4);
    let fits = [TxnOp::set(format!("{key}{padding}"), value.clone())];
    assert_eq!(fits[0].encoded_len() + 1, TXN_MAX_BYTES);
    client.txn().commit(&fits).await.unwrap();
    let over = [TxnOp::set(format!("{key}{padding}k"), value)];
    let error = client.txn().commit(&over).await.unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { .. }) && !error.is_retryable(),
        "{error}"
    );

    let error = client
        .txn()
        .commit(&[TxnOp::set("a//b", "")])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InvalidKey { .. }), "{error}");
    let error = client
        .txn()
        .commit(&[TxnOp::delete_tree("")])
        .await
        .unwrap_err();
    assert!(matches!(error, Error::InvalidKey { .. }), "{error}");
    client.kv().delete_prefix(&root).await.unwrap();
}
