//! Health over HTTP, when `WORKER_HTTP` is set: `/livez` and `/readyz`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tracing::{error, info};

use crate::runtime::engine::Engine;

/// Serves health until the task is ended.
pub async fn serve(address: SocketAddr, engine: Arc<Engine>) {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(engine);
    let listener = match tokio::net::TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            return error!("Cannot listen on {address} (WORKER_HTTP): {error}; health is not served");
        }
    };
    info!("Health on http://{address}/livez and /readyz");
    if let Err(error) = axum::serve(listener, router).await {
        error!("Health is not served any more: {error}");
    }
}

/// 200 when the worker takes jobs, else 503; the reasons are in the body either way.
async fn ready(State(engine): State<Arc<Engine>>) -> impl IntoResponse {
    let mut reasons = engine.troubles.list();
    let lost = engine.holds.lost_slots();
    if lost > 0 {
        reasons.push(format!(
            "slots: {lost} are taken by code that does not end when it is told to"
        ));
    }
    let word = engine.state.word();
    if word != "running" {
        reasons.push(format!("state: {word}"));
    }
    let ready = reasons.iter().all(|reason| {
        reason.starts_with("queues:") || reason.starts_with("schedule:") || reason == "state: paused"
    });
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(json!({ "ready": ready, "state": word, "running": engine.holds.len(), "reasons": reasons })),
    )
}
