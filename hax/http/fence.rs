//! Fencing over HTTP (`rfc/12-fencing.md`). Where it is not configured, each of these answers 404
//! `not-configured`.
//!
//! | request | answer |
//! |---|---|
//! | `GET /v1/fence` | [`Status`](status::Status): peers, nodes, open operations, inhibits, readiness |
//! | `GET /v1/fence/devices` | `{"devices": […]}`: the configuration, and what each peer reaches |
//! | `GET /v1/fence/devices/{name}/targets` | what the device says that it can fence, asked from this node |
//! | `POST /v1/fence/devices/{name}/ping` | whether this node reaches it; the body is `{}` |
//! | `GET /v1/fence/plan?target=…&action=…` | [`PlanReport`](crate::fence::PlanReport); nothing is done |
//! | `GET /v1/fence/ops?limit=…&target=…&action=…&outcome=…` | `{"ops": […]}`, the newest first |
//! | `GET /v1/fence/ops/{id}?wait=SECONDS` | the operation; with `wait` at its end, or after that time |
//! | `POST /v1/fence/run` | [`RunBody`](commands::RunBody); 202 `{"op", "merged"}` when the request is committed |
//! | `POST /v1/fence/ops/{id}/cancel`, `…/override` | body `{"who", "reason"}` |
//! | `POST /v1/fence/nodes/{node}/confirm`, `…/release` | body `{"who", "reason"}` |
//! | `PUT /v1/fence/inhibit`, `/v1/fence/inhibit/{target}` | body `{"who", "reason", "for_ms"}` |
//! | `DELETE /v1/fence/inhibit`, `/v1/fence/inhibit/{target}` | body `{"who", "reason"}` |
//!
//! What is `{node}` in a confirmation may be the target of a process, too: `<fid>@<node>`.
//!
//! Whoever reaches this server may fence; it listens on loopback. No web page in a browser of this machine
//! can, see [`guard`].

mod commands;
mod input;
mod ops;
mod status;

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::routing::{get, post, put};

pub use commands::RunBody;
pub use status::{DeviceRow, NodeRow, OpRow, PeerRow, Readiness, Status};

use super::Bridge;
use super::guard;
use super::reply::Refusal;
use super::router::Shared;
use crate::fence::{FenceHandle, Refused};

/// The routes below `/v1/fence`.
pub(super) fn routes<B: Bridge>() -> Router<Shared<B>> {
    let inhibit = put(commands::inhibit_all::<B>).delete(commands::uninhibit_all::<B>);
    let inhibit_one = put(commands::inhibit::<B>).delete(commands::uninhibit::<B>);
    Router::new()
        .route("/v1/fence", get(status::status::<B>))
        .route("/v1/fence/devices", get(status::devices::<B>))
        .route(
            "/v1/fence/devices/{name}/targets",
            get(commands::targets::<B>),
        )
        .route("/v1/fence/devices/{name}/ping", post(commands::ping::<B>))
        .route("/v1/fence/plan", get(commands::plan::<B>))
        .route("/v1/fence/ops", get(ops::list::<B>))
        .route("/v1/fence/ops/{id}", get(ops::one::<B>))
        .route("/v1/fence/run", post(commands::run::<B>))
        .route("/v1/fence/ops/{id}/cancel", post(commands::cancel::<B>))
        .route("/v1/fence/ops/{id}/override", post(commands::let_pass::<B>))
        .route(
            "/v1/fence/nodes/{node}/confirm",
            post(commands::confirm::<B>),
        )
        .route(
            "/v1/fence/nodes/{node}/release",
            post(commands::release::<B>),
        )
        .route("/v1/fence/inhibit", inhibit)
        .route("/v1/fence/inhibit/{target}", inhibit_one)
        .layer(middleware::from_fn(guard::no_page))
}

/// The coordinator, or the words that there is none.
fn handle<B: Bridge>(State(shared): &State<Shared<B>>) -> Result<FenceHandle, Refusal> {
    let none = || {
        let detail =
            "set `enabled = true` in [fence] of hax.toml, with devices, and start hax again";
        Refused::new(crate::fence::model::Refusal::NotConfigured, detail).into()
    };
    shared.bridge.fence().ok_or_else(none)
}
