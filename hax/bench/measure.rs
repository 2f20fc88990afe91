//! The measurements, each with what Consul alone does meanwhile.

mod broadcast;
mod death;
mod death_by_check;
mod entrypoint;
mod events;
mod idle;
mod nvec;
mod outage;

use anyhow::Result;

use super::clock;
use super::http::Http;

/// GETs of a path a second, one after another.
async fn gets_per_second(consul: &mut Http, path: &str, count: usize) -> Result<f64> {
    let start = clock::now();
    for _ in 0..count {
        consul.get(path).await?;
    }
    Ok(clock::per_second(count, clock::now() - start))
}
