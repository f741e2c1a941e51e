//! What proves a reservation: the text in `:reserved`, and the fraction of its score.

use std::io::{self, Write};

use bytes::Bytes;
use redis::{Cmd, RedisWrite};

use super::failure::Failure;
use crate::store::port::Receipt;

/// Fractions of a score are counted in this part of a second; a double holds them exactly.
pub(super) const PARTS: u32 = 1 << 20;

/// How the copy in `:reserved` differs from the text that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Difference {
    /// Not at all: no attempts could be read.
    None,
    /// The number at `at`, `digits` long, is `attempts` there.
    Counted { at: usize, digits: usize, attempts: u32 },
    /// It was written anew.
    Anew { copy: Bytes, attempts: u32 },
}

/// One reservation.
#[derive(Debug, Clone)]
pub(super) struct Reservation {
    /// The text as it lay in the list.
    pub(super) original: Bytes,
    /// How the reserved copy differs.
    pub(super) difference: Difference,
    /// Our fraction of the score, from 1 to [`PARTS`] - 1.
    pub(super) mark: u32,
}

impl Difference {
    /// The number in `original` that begins at byte `at` counts the attempts before this one.
    pub(super) fn counted(original: &[u8], at: usize) -> Option<Self> {
        let number = original.get(at..)?;
        let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let before: u32 = std::str::from_utf8(number.get(..digits)?).ok()?.parse().ok()?;
        Some(Self::Counted {
            at,
            digits,
            attempts: before.checked_add(1)?,
        })
    }
}

impl Reservation {
    /// The number of this attempt.
    pub(super) fn attempts(&self) -> u32 {
        match self.difference {
            Difference::None => 1,
            Difference::Counted { attempts, .. } | Difference::Anew { attempts, .. } => attempts,
        }
    }

    /// About how long the reserved copy is, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.original.len()
    }

    /// Writes the reserved copy as the command's next argument.
    pub(super) fn write_copy(&self, command: &mut Cmd) {
        match &self.difference {
            Difference::None => command.write_arg(&self.original),
            Difference::Anew { copy, .. } => command.write_arg(copy),
            Difference::Counted { at, digits, attempts } => {
                let (before, rest) = self.original.split_at((*at).min(self.original.len()));
                let after = rest.get(*digits..).unwrap_or_default();
                let mut out = command.writer_for_next_arg();
                // A command grows in memory: writing to it cannot fail.
                let written: io::Result<()> = out
                    .write_all(before)
                    .and_then(|()| write!(out, "{attempts}"))
                    .and_then(|()| out.write_all(after));
                debug_assert!(written.is_ok(), "a command takes every byte");
            }
        }
    }
}

/// What a receipt of ours holds.
pub(super) fn read(receipt: &Receipt) -> Result<&Reservation, Failure> {
    receipt.read().ok_or_else(Failure::odd_receipt)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy_of(original: &str, at: usize) -> Option<String> {
        let original = Bytes::copy_from_slice(original.as_bytes());
        let reservation = Reservation {
            difference: Difference::counted(&original, at)?,
            original,
            mark: 1,
        };
        let mut command = Cmd::new();
        reservation.write_copy(&mut command);
        let redis::Arg::Simple(bytes) = command.args_iter().next()? else {
            return None;
        };
        String::from_utf8(bytes.to_vec()).ok()
    }

    #[test]
    fn only_the_number_changes() {
        let copy = copy_of(r#"{"a":[],"attempts":9,"delay":null}"#, 19);
        assert_eq!(copy.as_deref(), Some(r#"{"a":[],"attempts":10,"delay":null}"#));
    }

    #[test]
    fn a_place_without_a_number_is_refused() {
        assert_eq!(copy_of("{}", 1), None);
        assert_eq!(copy_of("{}", 9), None);
        assert_eq!(copy_of("99999999999", 0), None);
    }
}
