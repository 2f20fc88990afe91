//! The promises of 7/ORDER while Consul, or the way to it, fails in each way there is.

use serde_json::Value;

use super::proxy::{Fault, Rule};
use super::random::Random;
use super::scene::Scene;
use crate::harness::eventually;

/// Repeats the decisions of the mixtures.
const SEED: &str = "HAX_FAULT_SEED";

/// What a fault does to requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    /// None is answered so that it could be used, and each is tried again.
    All,
    /// What is read is of no use, and is not asked for again.
    Reads,
    /// None: it changes how the bridge follows Consul, not what it answers.
    None,
}

async fn promises_hold(of: &'static str, fault: Fault, harm: Harm) {
    let mut scene = Scene::begin(&mut Random::new(1)).await;
    scene.proxy.set([Rule::always(of, fault)]);
    scene.say(2).await;
    let asked = scene.ask();
    scene.say(2).await;
    let newcomer = scene.newcomer(20);
    if harm != Harm::None {
        newcomer.told_again(2).await;
    }
    scene.broadcast(30).await;
    if harm == Harm::All {
        let delivered = scene.processes.iter().map(|(_, ledger)| ledger.delivered());
        assert_eq!(delivered.collect::<Vec<_>>(), [1; 3], "delivered unheard");
        let retried = |status: &Value| status["counters"]["retries"].as_u64().unwrap() >= 3;
        scene.bridge.wait_status("retries", retried).await;
    }
    scene.proxy.mend();
    newcomer.served().await;
    scene.answered(asked).await;
    scene.say(2).await;
    let verdict = scene.check().await;
    assert_eq!(verdict.events, 3 * 7);
    if harm != Harm::Reads {
        assert_eq!(scene.bridge.counter("final_errors").await, 0);
    }
    if harm != Harm::All {
        assert_eq!(verdict.again, 0, "written again for no reason");
    }
    // The view has recovered too, and follows what changes now.
    scene.broadcast(31).await;
    scene.bridge.wait_known(2, "STOPPING").await;
}

macro_rules! promises_hold {
    ($($name:ident: $of:literal, $fault:expr, $harm:ident;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                promises_hold($of, $fault, Harm::$harm).await;
            }
        )*
    };
}

promises_hold! {
    promises_hold_while_consul_refuses: "", Fault::Refuse, All;
    promises_hold_while_consul_hangs: "", Fault::Hang, All;
    promises_hold_while_connections_are_closed: "", Fault::Close, All;
    promises_hold_while_answers_break_off: "", Fault::Reset, All;
    promises_hold_while_answers_trickle: "", Fault::Slow, All;
    promises_hold_while_answers_are_lost: "", Fault::Unheard, All;
    promises_hold_while_consul_answers_500: "", Fault::Status(500), All;
    promises_hold_while_consul_answers_429: "", Fault::Status(429), All;
    promises_hold_while_writes_are_not_answered: "PUT /v1/txn", Fault::Unheard, All;
    promises_hold_while_what_is_read_is_empty: "GET ", Fault::Empty, Reads;
    promises_hold_while_what_is_read_is_cut_short: "GET ", Fault::Truncated, Reads;
    promises_hold_while_what_is_read_is_something_else: "GET ", Fault::WrongJson, Reads;
    promises_hold_while_the_index_goes_back: "GET ", Fault::IndexBack, None;
    promises_hold_while_the_index_is_no_number: "GET ", Fault::IndexWrong, Reads;
}

/// An answer to a write that is not understood does not tell whether it was carried out.
async fn a_write_with_such_an_answer_is_not_lost(fault: Fault) {
    let mut scene = Scene::begin(&mut Random::new(1)).await;
    scene.proxy.set([Rule::always("PUT /v1/txn", fault)]);
    scene.say(1).await;
    let all = scene.processes.len() as u64;
    let given_up = |status: &Value| status["counters"]["final_errors"].as_u64().unwrap() >= all;
    scene.bridge.wait_status("final errors", given_up).await;
    for (_, ledger) in &scene.processes {
        assert_eq!(ledger.delivered(), 1, "nobody knows that it is written");
    }
    scene.proxy.mend();
    let exit = scene.bridge.terminate().await;
    assert!(exit.success(), "{exit}");
    scene.bridge.restart().await;
    scene.settled().await;
    scene.say(1).await;
    scene.settled().await;
    for (_, ledger) in &scene.processes {
        ledger.check(scene.proxy.journal());
    }
}

#[tokio::test]
async fn a_write_with_an_empty_answer_is_not_lost() {
    a_write_with_such_an_answer_is_not_lost(Fault::Empty).await;
}

#[tokio::test]
async fn a_write_with_half_an_answer_is_not_lost() {
    a_write_with_such_an_answer_is_not_lost(Fault::Truncated).await;
}

#[tokio::test]
async fn without_a_fault_nothing_is_written_twice() {
    let mut scene = Scene::begin(&mut Random::new(1)).await;
    let asked = scene.ask();
    for _ in 0..20 {
        scene.say(5).await;
        scene.settled().await;
    }
    scene.answered(asked).await;
    let verdict = scene.check().await;
    assert_eq!((verdict.events, verdict.again), (3 * 101, 0));
    assert_eq!(scene.bridge.counter("retries").await, 0);
}

#[tokio::test]
async fn promises_hold_in_mixtures_of_faults() {
    const PHASES: usize = 8;
    const PATHS: [&str; 6] = [
        "",
        "PUT /v1/txn",
        "GET /v1/kv",
        "GET /v1/catalog",
        "GET /v1/health",
        "GET /v1/session",
    ];
    const FAULTS: [Fault; 8] = [
        Fault::Refuse,
        Fault::Close,
        Fault::Hang,
        Fault::Unheard,
        Fault::Reset,
        Fault::Status(503),
        Fault::Status(429),
        Fault::IndexBack,
    ];
    let mut random = Random::from_env(SEED);
    let mut scene = Scene::begin(&mut random).await;
    for phase in 0..PHASES as u64 {
        let mut rules = Vec::new();
        for _ in 0..1 + random.below(3) {
            rules.push(Rule {
                of: random.pick(&PATHS),
                fault: random.pick(&FAULTS),
                percent: 20 + random.below(81),
            });
        }
        eprintln!("phase {phase}: {rules:?}");
        let before = scene.proxy.suffered_all();
        let retries = scene.bridge.counter("retries").await;
        scene.proxy.set(rules);
        scene.say(1 + random.below(3)).await;
        let asked = scene.ask();
        scene.say(1 + random.below(3)).await;
        let newcomer = scene.newcomer(20 + phase);
        scene.broadcast(40 + phase).await;
        if random.percent(50) {
            scene.links.cut_all();
        }
        // Some faults are of requests that nobody makes now; who is refused is not counted.
        eventually("faults, or no harm", async || {
            let suffered = scene.proxy.suffered_all() >= before + 10;
            let retried = scene.bridge.counter("retries").await >= retries + 5;
            (suffered || retried || scene.is_settled()).then_some(())
        })
        .await;
        scene.proxy.mend();
        newcomer.served().await;
        scene.answered(asked).await;
        scene.settled().await;
    }
    let verdict = scene.check().await;
    assert_eq!(scene.bridge.counter("final_errors").await, 0);
    eprintln!(
        "mixture: phases {PHASES}, faults {}, events {}, written again {}, losses 0",
        scene.proxy.suffered_all(),
        verdict.events,
        verdict.again
    );
}
