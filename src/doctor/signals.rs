//! The application's cache, through which restart and pause arrive.

use super::catalogue::{SIGNALS_2028, SIGNALS_UNREADABLE};
use super::{Facts, Finding, Severity};
use crate::config::CacheStore;
use crate::store::port::survey::Holds;

/// The last second whose ten years of `forever` still fit into a signed number of 32 bits: 2028-01-22.
const FOREVER_FITS_UNTIL: i64 = 2_147_483_647 - 315_360_000;
/// From so long before it is an error.
const AHEAD_S: i64 = 90 * 86_400;

pub(super) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    unreadable(facts).into_iter().chain(forever(facts)).collect()
}

fn unreadable(facts: &Facts<'_>) -> Option<Finding> {
    let CacheStore::Unreadable { driver } = &facts.loaded.config.cache else {
        return None;
    };
    let what = match driver.as_str() {
        "database" => "is database, and no SQL database is configured".to_owned(),
        other => format!("is {other}, which other processes or other hosts do not share"),
    };
    let fix = "set CACHE_STORE=redis or CACHE_STORE=database, for the application and here";
    Some(SIGNALS_UNREADABLE.found("CACHE_STORE", what, fix))
}

fn forever(facts: &Facts<'_>) -> Option<Finding> {
    let store = facts.stores.iter().find(|store| store.uses.signals)?;
    let table = store.table("cache")?;
    let column = table.column("expiration")?;
    if !matches!(column.holds, Holds::Integer(most) if most <= 2_147_483_647) {
        return None;
    }
    let near = facts.now_s >= FOREVER_FITS_UNTIL - AHEAD_S;
    let severity = if near { Severity::Error } else { Severity::Note };
    let what = format!("is {}, which ends in 2038", column.declared);
    let fix = super::tables::alter(store, &table.name, "expiration", super::tables::Wide::Big);
    let subject = format!("column {}.expiration", table.name);
    Some(SIGNALS_2028.found(subject, what, fix).at(severity))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Case, sql_store, table};
    use super::super::{Seen, Sql};
    use super::*;

    #[test]
    fn stores_that_nobody_else_reads() {
        for store in ["file", "array", "memcached"] {
            let case = Case::redis(&[("CACHE_STORE", store)]);
            assert_eq!(
                case.worst("signals.unreadable"),
                Some(Severity::Warning),
                "{store}"
            );
        }
        assert_eq!(
            Case::redis(&[("CACHE_STORE", "redis")]).worst("signals.unreadable"),
            None
        );
    }

    #[test]
    fn forever_ends_in_2028() {
        let worst = |most, now_s| {
            let mut cache = table("cache");
            for column in cache
                .columns
                .iter_mut()
                .flatten()
                .filter(|column| column.name == "expiration")
            {
                column.holds = Holds::Integer(most);
            }
            let mut store = sql_store();
            store.sql = store.sql.map(|sql| Sql {
                tables: Seen::Here(vec![cache.clone()]),
                ..sql
            });
            Case::database(&[])
                .at(now_s)
                .stores(vec![store])
                .worst("signals.2028")
        };
        let (day, end) = (86_400, 1_832_123_647);
        assert_eq!(worst(2_147_483_647, end - 91 * day), Some(Severity::Note));
        assert_eq!(worst(2_147_483_647, end - 89 * day), Some(Severity::Error));
        assert_eq!(worst(2_147_483_647, end + day), Some(Severity::Error));
        assert_eq!(worst(u64::MAX >> 1, end + day), None);
    }
}
