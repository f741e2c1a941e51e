//! Moving between the engines themselves: each one to Redis and back, or to SQLite and back.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use worker::moving::{HOLD, Mover, Tally};
use worker::store::port::{AsideEnd, Held, NewJob, OnceJob, Queue, QueueName, Settle, Waiting};

use crate::store::engine::{
    self, LONG, Store, job, job_with, on_every_engine, queues, settle, take, take_one, uuids,
};

/// A store of the other kind: Redis beside a table, SQLite beside Redis.
fn other(queue: &dyn Queue) -> Store {
    if queue.carries_attempts() {
        engine::sqlite()
    } else {
        engine::redis()
    }
}

async fn moved(from: &Arc<dyn Queue>, to: &Arc<dyn Queue>) -> Tally {
    let (from, to) = (Arc::clone(from), Arc::clone(to));
    let mover = Mover { from, to };
    let mut told = |_: &Tally| ControlFlow::Continue(());
    mover
        .queue(&QueueName::new("mail"), &mut told)
        .await
        .expect("move")
}

async fn counts(queue: &dyn Queue) -> (u64, u64, u64) {
    let depth = queue.depth(&queues(&["mail"])).await.expect("depth");
    (depth[0].pending, depth[0].delayed, depth[0].reserved)
}

fn later(queue: &dyn Queue, uuid: &str, delay_s: u64) -> NewJob {
    NewJob {
        delay: Some(Duration::from_secs(delay_s)),
        ..job(queue, "mail", uuid)
    }
}

on_every_engine! {
    /// Order, attempts and due times survive the way there and the way back.
    async fn there_and_back(store: &Store) {
        let names: Vec<String> = (0..1100).map(|n| format!("{n:04}")).collect();
        let from = store.open();
        let data = r#"{"a":[],"o":{},"n":9007199254740993,"f":1.0,"s":"\/ „ \u2028 \u0000"}"#;
        let jobs: Vec<NewJob> = names.iter().map(|uuid| job_with(&*from, "mail", uuid, data)).collect();
        from.push(&jobs).await.expect("push");
        from.push(&[later(&*from, "soon", 300), later(&*from, "late", 86_400)]).await.expect("push");
        let tried = take_one(&*from, "mail").await;
        let release = Settle::Release { delay: Duration::from_secs(200) };
        assert_eq!(settle(&*from, &tried, release).await, Held::Yes);
        let beside = other(&*from);
        let to = beside.open();
        let expected = Tally { moved: 1099, moved_delayed: 3, ..Tally::default() };
        assert_eq!(moved(&from, &to).await, expected);
        assert_eq!((counts(&*from).await, counts(&*to).await), ((0, 0, 0), (1099, 3, 0)));
        assert_eq!(moved(&to, &from).await, expected);
        assert_eq!((counts(&*from).await, counts(&*to).await), ((1099, 3, 0), (0, 0, 0)));
        let delayed = from.set_aside(&QueueName::new("mail"), Waiting::Delayed, 10, LONG).await.expect("look");
        let left: Vec<u64> = delayed.iter().map(|job| job.delay.map_or(0, |delay| delay.as_secs())).collect();
        for (left, due) in left.iter().zip([200, 300, 86_400]) {
            assert!((due - 20..=due + 3).contains(left), "{left} of {due}");
        }
        let mut back = Vec::new();
        while back.len() < 1099 {
            let jobs = take(&*from, "mail", 500).await;
            assert!(!jobs.is_empty() && jobs.iter().all(|job| job.attempts == 1));
            assert!(jobs.iter().all(|job| String::from_utf8_lossy(&job.payload).contains(data)));
            back.extend(uuids(&jobs));
        }
        assert_eq!(back, names[1..]);
        let receipts: Vec<_> = delayed.into_iter().map(|job| job.receipt).collect();
        from.end_aside(&QueueName::new("mail"), &receipts, AsideEnd::PutBack).await.expect("put back");
    }

    /// Wherever a move ends, the next one completes it: what was pushed is not pushed again.
    async fn a_move_that_ended_half_way_is_completed(store: &Store) {
        let from = store.with("mail", &["a", "b", "c", "d", "e", "f"]).await;
        from.push(&[later(&*from, "soon", 300), later(&*from, "late", 86_400)]).await.expect("push");
        let beside = other(&*from);
        let to = beside.open();
        let mail = QueueName::new("mail");
        // One that died after it had pushed some of what it had set aside.
        let mut set = from.set_aside(&mail, Waiting::Ready, 4, HOLD).await.expect("set aside");
        set.extend(from.set_aside(&mail, Waiting::Delayed, 4, HOLD).await.expect("set aside"));
        let some: Vec<OnceJob> = [0, 1, 5]
            .map(|place: usize| {
                let aside = &set[place];
                let text = String::from_utf8(aside.payload.to_vec()).expect("UTF-8");
                let new = NewJob { queue: mail.clone(), payload: text.into(), delay: aside.delay };
                OnceJob { marker: format!("move:{}", aside.identity), job: new, attempts: 0 }
            })
            .to_vec();
        to.push_once(&some).await.expect("push");
        let expected = Tally { moved: 6, moved_delayed: 2, resumed: 3, ..Tally::default() };
        assert_eq!(moved(&store.open(), &to).await, expected);
        assert_eq!((counts(&*from).await, counts(&*to).await), ((0, 0, 0), (6, 2, 0)));
        assert_eq!(uuids(&take(&*to, "mail", 10).await), ["a", "b", "c", "d", "e", "f"]);
        assert_eq!(moved(&from, &to).await, Tally::default());
    }

    /// Told to stop, it ends after a batch; what was not moved is where it was.
    async fn it_stops_when_it_is_told_to(store: &Store) {
        let names: Vec<String> = (0..1300).map(|n| format!("{n:04}")).collect();
        let from = store.open();
        let jobs: Vec<NewJob> = names.iter().map(|uuid| job(&*from, "mail", uuid)).collect();
        from.push(&jobs).await.expect("push");
        let beside = other(&*from);
        let to = beside.open();
        let mover = Mover { from: Arc::clone(&from), to: Arc::clone(&to) };
        let mut stop = |_: &Tally| ControlFlow::Break(());
        let tally = mover.queue(&QueueName::new("mail"), &mut stop).await.expect("move");
        let done = usize::try_from(tally.moved).expect("a count");
        assert!(done > 0 && done < 1300, "{tally:?}");
        let left = uuids(&take(&*from, "mail", 1000).await);
        assert_eq!(left[0], names[done]);
        let there: BTreeSet<String> = uuids(&take(&*to, "mail", 1000).await).into_iter().collect();
        assert_eq!(there.into_iter().collect::<Vec<_>>(), names[..done]);
    }
}
