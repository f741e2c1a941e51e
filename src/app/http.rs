//! Health over HTTP, when `WORKER_HTTP` is set: `/livez`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::json;
use tracing::{error, info};

use super::metrics;
use crate::runtime::engine::Engine;
use crate::runtime::state::{Pauses, StopReason};
use crate::runtime::troubles::Trouble;

/// Subjects of troubles that keep no job of ours from being taken.
const HARMLESS: [&str; 2] = ["queues", "schedule"];

/// Serves health until the task is ended.
pub async fn serve(address: SocketAddr, engine: Arc<Engine>) {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(measured))
        .with_state(engine);
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            return error!("Cannot listen on {address} (WORKER_HTTP): {error}; health is not served");
        }
    };
    info!("Health on http://{address}/livez and /readyz, figures on /metrics");
    if let Err(error) = axum::serve(listener, router).await {
        error!("Health is not served any more: {error}");
    }
}

/// 200 when the worker takes jobs, else 503; the reasons are in the body either way. Asks no store.
async fn ready(State(engine): State<Arc<Engine>>) -> impl IntoResponse {
    let reasons = reasons(&engine);
    let ready = reasons.iter().all(|reason| !reason.blocks);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let reasons: Vec<_> = reasons.into_iter().map(|reason| reason.text).collect();
    let (state, running) = (engine.state.word(), engine.holds.len());
    (
        status,
        Json(json!({ "ready": ready, "state": state, "running": running, "reasons": reasons })),
    )
}

/// The figures of this process, for Prometheus. Asks no store.
async fn measured(State(engine): State<Arc<Engine>>) -> Response {
    let ready = reasons(&engine).iter().all(|reason| !reason.blocks);
    match metrics::text(&engine, ready) {
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Something worth knowing about a worker's readiness.
struct Reason {
    text: String,
    /// Whether it keeps the worker from taking jobs, against its will.
    blocks: bool,
}

fn reasons(engine: &Engine) -> Vec<Reason> {
    let mut reasons: Vec<_> = engine
        .troubles
        .list()
        .into_iter()
        .map(|trouble| Reason {
            text: format!(
                "{}: {} (since {})",
                trouble.subject,
                trouble.what,
                began(engine, &trouble)
            ),
            blocks: !HARMLESS.contains(&trouble.subject.as_str()),
        })
        .collect();
    let lost = engine.holds.lost_slots();
    if lost > 0 {
        reasons.push(Reason {
            text: format!("slots: {lost} are taken by code that does not end when it is told to"),
            blocks: true,
        });
    }
    if engine.state.stopping().is_cancelled() {
        let why = engine.state.reason().map_or("forced", StopReason::as_str);
        let held = engine.holds.len();
        reasons.push(Reason {
            text: format!("state: draining because of {why}, {held} jobs in hand"),
            blocks: true,
        });
    } else if let Some(paused) = paused(&engine.state.pauses().borrow()) {
        reasons.push(Reason {
            text: format!("state: paused: {paused}"),
            blocks: false,
        });
    }
    reasons
}

/// When a trouble began, in UTC.
fn began(engine: &Engine, trouble: &Trouble) -> Timestamp {
    let lasts = i64::try_from(trouble.since.elapsed().as_secs()).unwrap_or(i64::MAX);
    let began = engine.clock.unix_s().saturating_sub(lasts);
    Timestamp::from_second(began).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// What is paused, and by whom.
fn paused(pauses: &Pauses) -> Option<String> {
    let mut by = Vec::new();
    if pauses.by_signal {
        by.push("everything, by SIGUSR2".to_owned());
    }
    if pauses.everywhere {
        by.push("everything, by queue:pause".to_owned());
    }
    if pauses.maintenance {
        by.push("everything, by maintenance mode".to_owned());
    }
    let mut queues: Vec<_> = pauses.queues.iter().map(|queue| queue.as_str()).collect();
    queues.sort_unstable();
    by.extend(queues.iter().map(|queue| format!("{queue}, by queue:pause")));
    (!by.is_empty()).then(|| by.join("; "))
}
