//! Jobs that cannot run here now go back, uncounted, for others or for later.

use std::time::Instant;

use tracing::{debug, error};

use super::{Run, UNKNOWN, conclude, shown};
use crate::runner::Refusal;
use crate::runtime::decide::Verdict;
use crate::runtime::engine::{Engine, OnUnknown};
use crate::runtime::unknown::Share;
use crate::wire::Exception;

/// A job that nobody here runs goes back uncounted for a while, or fails when that was asked for.
pub(super) async fn put_off(engine: &Engine, share: &Share, run: &Run, refusal: Refusal) {
    let (class, why) = match refusal {
        Refusal::Unknown { class } => (class, "no runner knows it"),
        Refusal::NeedsFramework { class, what } => (class, what),
        Refusal::Busy => {
            let (uuid, name) = (&run.uuid, &run.name);
            debug!(
                job.uuid = uuid,
                "No PHP process came free in time for {name}; it goes back uncounted"
            );
            let verdict = Verdict::Refund { delay: None };
            return conclude(engine, run, verdict, None).await;
        }
        Refusal::NoPhp { class } => return wait_for_php(engine, share, run, &class).await,
        Refusal::Unreadable { reason } => (reason, "it cannot be read"),
    };
    let class = shown(&class);
    if engine.options.on_unknown == OnUnknown::Fail {
        let exception = Exception::new(UNKNOWN, format!("nobody here runs {class}: {why}"));
        return conclude(engine, run, Verdict::Fail { exception }, None).await;
    }
    let now = Instant::now();
    let put_off = engine.unknowns.put_off(&class, now);
    if put_off.again {
        share.leave(now + put_off.delay);
    }
    if put_off.say {
        error!(queue = %run.reserved.queue, "Jobs of {class} are not run here ({why}); they go back uncounted, later each time. Register the class, run a PHP worker beside this one, or use --on-unknown=fail");
    }
    conclude(
        engine,
        run,
        Verdict::Refund {
            delay: Some(put_off.delay),
        },
        None,
    )
    .await;
}

/// A job for PHP goes back uncounted for a while when PHP cannot run; why it cannot, its pool says.
async fn wait_for_php(engine: &Engine, share: &Share, run: &Run, class: &str) {
    let now = Instant::now();
    let put_off = engine.unknowns.put_off(&shown(class), now);
    if put_off.again {
        share.leave(now + put_off.delay);
    }
    let delay = Some(put_off.delay);
    conclude(engine, run, Verdict::Refund { delay }, None).await;
}
