//! From the death of a process to those who are told, when only Consul's checks notice it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use halink::{Fid, HaState};
use serde_json::{Value, json};

use super::death::SURVIVORS;
use crate::bench::clock;
use crate::bench::daemon::DeathWatch;
use crate::bench::load::Expected;
use crate::bench::loader::Loader;
use crate::bench::patience::{STALL, Wait};
use crate::bench::run::{Bench, say};
use crate::bench::stats::Sample;

/// What Consul runs to check a process.
const SCRIPT: &str = include_str!("../../../scripts/health-check.sh");
/// Name of the processes' service.
const SERVICE: &str = "ios";
/// Number of the first process; those that died otherwise have lower ones.
const FIRST: u64 = 100;

impl Bench {
    /// Deaths of processes that Consul checks every second, as `haxctl bootstrap` has it do, told
    /// by a bridge that does not watch its processes.
    pub(in crate::bench) async fn death_by_check(&mut self) -> Result<()> {
        say("deaths of processes by Consul's checks");
        self.restart_with(DeathWatch::Off).await?;
        self.loader.connect(SURVIVORS).await?;
        let numbers = FIRST..FIRST + self.either(5, 10);
        let script = self.directory.path().join("health-check.sh");
        fs::write(&script, SCRIPT)?;
        fs::set_permissions(&script, Permissions::from_mode(0o755))?;
        let endpoint = self.daemon.endpoint();
        let services: Vec<Value> = numbers
            .clone()
            .map(|number| service(&script, Loader::other_process(number), &endpoint))
            .collect();
        let count = services.len();
        let url = self.daemon.watch_url();
        self.agent.watch(SERVICE, services, &url).await?;
        // A check is critical until it has run, and of a process that is up that would be news.
        self.checks(count).await?;
        let mut victims = Vec::new();
        for number in numbers {
            // Told ONLINE: its check passes, and nothing from before that is on its way.
            let expected = Expected {
                object: Loader::other_process(number),
                state: HaState::Online.raw(),
                notes: 1,
            };
            self.loader.expect(expected, STALL).await?;
            let Some(victim) = self.victim(number).await? else {
                let note = "a process was declared dead that lived: its check takes too long here";
                self.figures.death_by_check_note = Some(note.to_owned());
                return Ok(());
            };
            victims.push(victim);
            if self.loader.arrivals().await?.is_none() {
                let note = format!("no check of a running process passes within {STALL:?}");
                self.figures.death_by_check_note = Some(note);
                return Ok(());
            }
        }
        let mut times = Vec::new();
        // The checks run at times of their own, so the deaths are at any point between two.
        for victim in &mut victims {
            let Some(nanos) = self.killed(victim).await? else {
                let note = format!("not told within {STALL:?}");
                self.figures.death_by_check_note = Some(note);
                return Ok(());
            };
            times.push(clock::millis(nanos));
        }
        let times: Sample = times.into_iter().collect();
        self.figures.sampled("death_by_check_p50_ms", times.len());
        self.figures.death_by_check_p50_ms = times.percentile(50);
        self.figures.death_by_check_max_ms = times.percentile(100);
        Ok(())
    }

    /// Waits until so many processes have a check.
    async fn checks(&self, count: usize) -> Result<()> {
        let mut consul = self.agent.connect().await?;
        let path = format!("/v1/health/checks/{SERVICE}");
        let mut wait = Wait::new("the checks of the processes");
        loop {
            let checks: Vec<Value> = serde_json::from_slice(&consul.get(&path).await?)?;
            if checks.len() >= count {
                return Ok(());
            }
            let there = checks.len();
            wait.look(there, || format!("consul has {there} of {count}"))?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A process as Consul's agent is told of it.
fn service(script: &Path, process: Fid, endpoint: &str) -> Value {
    let id = process.key().to_string();
    json!({
        "id": id, "name": SERVICE, "address": "inet:tcp:127.0.0.1", "port": 40_000,
        "meta": { "transport_type": "libfab" },
        "checks": [{
            "id": format!("service:{id}:process"),
            "name": format!("Process of {SERVICE} {id}"),
            "args": [script, process.to_string(), pattern(process, endpoint)],
            "interval": "1s", "timeout": "5s",
        }],
    })
}

/// Finds the process by its command line, and none of another measurement.
fn pattern(process: Fid, endpoint: &str) -> String {
    let mut literal = String::new();
    for c in endpoint.chars() {
        if "\\.^$*+?()[]{}|".contains(c) {
            literal.push('\\');
        }
        literal.push(c);
    }
    format!(" sim m0d --ha {literal} --process {process}( |$)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use halink::FidType;

    #[test]
    fn a_pattern_means_the_endpoint_as_it_is() {
        let process = Fid::typed(FidType::Process, 1, 2);
        assert_eq!(
            pattern(process, "unix:/tmp/a.b+c/ha"),
            " sim m0d --ha unix:/tmp/a\\.b\\+c/ha --process 0x7200000000000001:0x2( |$)"
        );
    }
}
