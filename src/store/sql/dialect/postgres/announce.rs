//! Triggers by which the table of jobs tells waiting workers of rows that came or became free.
//!
//! The channel is `worker_ready_` and the table's object id, the message a queue's name, or nothing for any.
//! One function serves all tables of its schema.

use sqlx::Row;

use super::Shared;
use super::error::Failure;
use super::pool::{Session, Use};
use super::statements::{ANNOUNCER, CHANNEL};
use crate::store::sql::migrate::Announce;

/// The trigger for rows that were held and became free.
const FREED: &str = "worker_notify_freed";

/// Once per statement for new rows, however many; the server sends equal messages of one transaction once.
const BODY: &str = "
begin
  if tg_op = 'INSERT' then
    perform pg_catalog.pg_notify('{channel}' || tg_relid::bigint, case when octet_length(a.queue) < 7000 then a.queue else '' end)
      from (select distinct queue::text as queue from added) as a;
  else
    perform pg_catalog.pg_notify('{channel}' || tg_relid::bigint, case when octet_length(new.queue) < 7000 then new.queue else '' end);
  end if;
  return null;
end
";

/// Makes or removes the triggers; says whether there was something to do.
pub(super) async fn change(db: &Shared, announce: Announce) -> Result<bool, Failure> {
    let names = Names::new(db);
    let mut session = db.pool.open(Use::Take).await?;
    session.begin().await?;
    let there = installed(&mut session, &names).await?;
    let (is_whole, is_any) = (there == Some(2), there != Some(0));
    let changed = match announce {
        Announce::Yes if !is_whole => {
            session.raw(&install(&names)).await?;
            true
        }
        Announce::No if is_any => {
            session.raw(&remove(&names)).await?;
            true
        }
        Announce::Yes | Announce::No => false,
    };
    session.close().await?;
    Ok(changed)
}

struct Names {
    table: String,
    function: String,
    body: String,
}

impl Names {
    fn new(db: &Shared) -> Self {
        let table = &db.sql.tables.jobs;
        let function = match table.as_str().split_once('.') {
            Some((schema, _)) => format!("\"{schema}\".worker_notify"),
            None => "worker_notify".to_owned(),
        };
        Self {
            table: table.quoted('"'),
            function,
            body: BODY.replace("{channel}", CHANNEL),
        }
    }
}

/// How many of the two triggers are there, and alive; `None` when their function is not the present one.
async fn installed(session: &mut Session, names: &Names) -> Result<Option<i64>, Failure> {
    let Names { table, body, .. } = names;
    let sql = format!(
        "select count(*), coalesce(bool_and(p.prosrc = $body${body}$body$), true) \
         from pg_trigger as t join pg_proc as p on p.oid = t.tgfoid \
         where t.tgrelid = '{table}'::regclass and t.tgname in ('{ANNOUNCER}', '{FREED}') and t.tgenabled in ('O', 'A')"
    );
    let rows = session.raw(&sql).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let is_present: bool = row.try_get(1)?;
    Ok(if is_present { Some(row.try_get(0)?) } else { None })
}

fn install(names: &Names) -> String {
    let Names {
        table,
        function,
        body,
    } = names;
    format!(
        "create or replace function {function}() returns trigger language plpgsql as $worker${body}$worker$;
         drop trigger if exists {ANNOUNCER} on {table};
         drop trigger if exists {FREED} on {table};
         create trigger {ANNOUNCER} after insert on {table} referencing new table as added \
            for each statement execute procedure {function}();
         create trigger {FREED} after update of reserved_at on {table} for each row \
            when (old.reserved_at is not null and new.reserved_at is null) execute procedure {function}()"
    )
}

/// The function stays while another table of the schema uses it.
fn remove(names: &Names) -> String {
    let Names { table, function, .. } = names;
    format!(
        "drop trigger if exists {ANNOUNCER} on {table};
         drop trigger if exists {FREED} on {table};
         do $worker$ begin
            drop function if exists {function}();
         exception when dependent_objects_still_exist then null;
         end $worker$"
    )
}
