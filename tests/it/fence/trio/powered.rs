//! A real power controller, through a real fence agent.

use hax::fence::model::{Action, Outcome};

use super::super::powerman::Powerman;
use super::{Shape, Trio};

#[tokio::test]
async fn a_plug_is_switched_as_it_was_asked_for() {
    let Some(power) = Powerman::start_on(&["ssu1", "ssu2"]).await else {
        return;
    };
    let parameters = power.parameters();
    let parameters = parameters
        .iter()
        .map(|(name, value)| format!("{name} = '{value}'"));
    let parameters: Vec<_> = parameters.collect();
    let device = format!(
        "{{ name = 'power', type = 'agent', agent = '{}', hosts = ['ssu1', 'ssu2'], parameters = {{ {} }} }}",
        power.program().display(),
        parameters.join(", ")
    );
    let trio = Trio::start(&Shape::of([]).and(device)).await;
    for target in ["ssu1", "ssu2"] {
        trio.add_target(target).await;
    }
    for (by, action, is_on) in [
        (0, Action::Off, false),
        (1, Action::On, true),
        (2, Action::Reboot, true),
        (0, Action::Off, false),
    ] {
        let before = fencings(&power);
        let op = trio.run(by, "ssu1", action).await;
        assert_eq!(op.ended().unwrap().outcome, Outcome::Succeeded, "{op:#?}");
        assert_eq!(power.is_on("ssu1"), is_on);
        let runs = fencings(&power);
        assert_eq!(runs[before.len()..], [action.as_str()], "{runs:?}");
        assert!(power.is_on("ssu2"));
    }
}

/// What the agent was asked to do, but for looks.
fn fencings(power: &Powerman) -> Vec<String> {
    let runs = power.agent().runs().into_iter();
    let runs = runs.map(|run| run.action);
    runs.filter(|action| ["off", "on", "reboot"].contains(&action.as_str()))
        .collect()
}
