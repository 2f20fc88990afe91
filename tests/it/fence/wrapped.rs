//! A fence agent that keeps a log of its runs: a script that runs the real one.

use std::path::{Path, PathBuf};

use super::installed::script;

/// A wrapped agent, in a directory of the test's.
#[derive(Debug)]
pub(crate) struct Wrapped {
    program: PathBuf,
    log: PathBuf,
}

/// One run of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentRun {
    /// The script's.
    pub(crate) pid: i32,
    pub(crate) action: String,
    /// `-`: it was told none.
    pub(crate) plug: String,
    /// `nodename`; `-`: it was told none.
    pub(crate) node: String,
    /// Nanoseconds since 1970.
    pub(crate) start: u64,
    /// The same, and the exit code; none: it runs, or was killed.
    pub(crate) end: Option<(u64, i32)>,
}

impl Wrapped {
    /// Wraps an agent. `before` is run by the shell before the agent.
    pub(crate) fn new(dir: &Path, real: &Path, before: &str) -> Self {
        let program = dir.join("agent");
        let log = dir.join("agent.log");
        std::fs::write(&log, "").unwrap();
        // A TERM for the whole group reaches the agent without us; one for the script alone is passed on.
        let text = format!(
            r#"#!/bin/sh
input=$(cat)
of() {{ printf '%s\n' "$input" | sed -n "s/^$1=//p" | tail -n 1; }}
action=$(of action)
plug=$(of plug)
node=$(of nodename)
echo "start $$ $(date +%s%N) ${{action:--}} ${{plug:--}} ${{node:--}}" >> '{log}'
{before}
printf '%s\n' "$input" | '{real}' &
agent=$!
trap 'kill -TERM $agent 2> /dev/null' TERM
wait $agent
code=$?
while kill -0 $agent 2> /dev/null; do
    wait $agent
    code=$?
done
echo "end $$ $(date +%s%N) $code" >> '{log}'
exit $code
"#,
            log = log.display(),
            real = real.display(),
        );
        script(&program, &text);
        Self { program, log }
    }

    /// What `agent` of a device is set to.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// All runs, in the order in which they began.
    pub(crate) fn runs(&self) -> Vec<AgentRun> {
        let mut runs: Vec<AgentRun> = Vec::new();
        for line in std::fs::read_to_string(&self.log).unwrap().lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["start", pid, start, action, plug, node] => runs.push(AgentRun {
                    pid: pid.parse().unwrap(),
                    action: action.to_owned(),
                    plug: plug.to_owned(),
                    node: node.to_owned(),
                    start: start.parse().unwrap(),
                    end: None,
                }),
                ["end", pid, end, code] => {
                    let pid: i32 = pid.parse().unwrap();
                    let run = runs.iter_mut().rev().find(|run| run.pid == pid).unwrap();
                    run.end = Some((end.parse().unwrap(), code.parse().unwrap()));
                }
                // A line that is being written.
                _ => {}
            }
        }
        runs
    }

    /// The runs of off, on and reboot.
    pub(crate) fn fences(&self) -> Vec<AgentRun> {
        let mut runs = self.runs();
        runs.retain(|run| ["off", "on", "reboot"].contains(&run.action.as_str()));
        runs
    }
}
