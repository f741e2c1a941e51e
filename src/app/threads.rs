//! One thread of each runtime that waits for files and names of hosts, kept alive.
//!
//! A runtime starts such a thread when one is wanted and lets it end after ten idle seconds. Where the system gives no
//! more threads, because PHP processes took what there was, a job that opens a file would panic if there is none; with
//! one it waits its turn.

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinSet;

/// How often the thread is given something to do: well within its ten seconds.
const OFTEN: Duration = Duration::from_secs(4);

/// Starts a thread of each of `runtimes` and keeps it until the set is dropped.
pub(super) async fn keep(runtimes: impl IntoIterator<Item = Handle>) -> JoinSet<()> {
    let mut kept = JoinSet::new();
    for runtime in runtimes {
        let turn = move || runtime.spawn_blocking(|| ());
        // That it does nothing cannot fail; that its runtime is shutting down ends the keeping.
        if turn().await.is_ok() {
            kept.spawn(async move {
                while turn().await.is_ok() {
                    tokio::time::sleep(OFTEN).await;
                }
            });
        }
    }
    kept
}
