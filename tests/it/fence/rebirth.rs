//! A process that is started anew after a fence, and says the very same word as before.

use halink::HaState;
use serde_json::json;

use super::bridge::{fencing, start};
use crate::death::{all_told, answers, survivor};
use crate::harness::{Cluster, eventually, process};

#[tokio::test]
async fn the_same_word_of_the_next_life_is_not_confirmed() {
    let cluster = Cluster::small(2).await;
    let bridge = start(&cluster, fencing("none")).await;
    let (told_of, _) = survivor(&bridge, 2).await;
    let (victim, _) = survivor(&bridge, 3).await;
    bridge.wait_known(3, "STARTED").await;
    let stored = format!("processes/{}", process(3));
    let word = cluster.get(&stored).await.unwrap().modify_index.0;
    let key = format!("fence/processes/{}", process(3));
    let op = uuid::Uuid::now_v7().to_string();
    let record = json!({ "op": op, "word": word }).to_string();
    cluster.put(&key, &record).await;
    all_told(&[&told_of], 3, HaState::Failed).await;
    bridge.wait_links(&[2]).await;
    drop(victim);

    let (_reborn, _) = survivor(&bridge, 3).await;
    // STARTED over STARTED: nothing was written.
    let now = cluster.get(&stored).await.unwrap().modify_index.0;
    assert_eq!(now, word);
    eventually("the record to be deleted", async || {
        cluster.get(&key).await.is_none().then_some(())
    })
    .await;
    all_told(&[&told_of], 3, HaState::Online).await;
    assert_eq!(answers(&told_of, 3).await, [HaState::Online as u32; 3]);
}
