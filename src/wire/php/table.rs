//! What the numbers in references mean.

use std::cell::Cell;

use super::de::Deserializer;
use super::value::Value;
use crate::wire::Error;

/// Values that may be visited through one table, beyond four times those it holds: references to shared
/// values that hold references again can describe far more than the text has bytes.
const SPARE_VISITS: usize = 100_000;

/// All values of a tree by the number that `r:` and `R:` use for them.
#[derive(Debug)]
pub struct Table<'a> {
    root: &'a Value,
    slots: Vec<Slot<'a>>,
    visits: Cell<usize>,
}

#[derive(Debug, Clone, Copy)]
struct Slot<'a> {
    value: &'a Value,
    /// How many slots the value and all within it take.
    size: usize,
}

impl<'a> Table<'a> {
    /// Numbers the values of a tree, as `unserialize` does.
    #[must_use]
    pub fn new(root: &'a Value) -> Self {
        let mut slots: Vec<Slot<'a>> = Vec::new();
        let mut open = vec![];
        let mut next = Some(root);
        loop {
            if let Some(value) = next.take() {
                if matches!(value, Value::Reference { alias: true, .. }) {
                    continue;
                }
                if !value.children().is_empty() {
                    open.push((slots.len(), value.children().iter()));
                }
                slots.push(Slot { value, size: 1 });
            } else {
                let total = slots.len();
                let Some((index, children)) = open.last_mut() else {
                    break;
                };
                if let Some((_, value)) = children.next() {
                    next = Some(value);
                } else {
                    if let Some(slot) = slots.get_mut(*index) {
                        slot.size = total.saturating_sub(*index);
                    }
                    open.pop();
                }
            }
        }
        Self {
            root,
            slots,
            visits: Cell::new(0),
        }
    }

    /// The whole tree, ready to become a Rust type.
    #[must_use]
    pub const fn deserializer(&self) -> Deserializer<'_, 'a> {
        Deserializer::new(self, self.root)
    }

    /// A value of this tree, ready to become a Rust type.
    #[must_use]
    pub const fn deserializer_of(&self, value: &'a Value) -> Deserializer<'_, 'a> {
        Deserializer::new(self, value)
    }

    /// The value behind a reference (any other value is its own), and its number if it was one.
    ///
    /// # Errors
    /// [`Error::Field`] for a number that no earlier value has.
    pub fn resolve(&self, mut value: &'a Value) -> Result<(&'a Value, Option<usize>), Error> {
        let mut number = None;
        while let Value::Reference { slot, .. } = value {
            if number.is_some_and(|last| *slot >= last) {
                return Err(Error::Field("a reference leads to itself".to_owned()));
            }
            number = Some(*slot);
            let found = slot.checked_sub(1).and_then(|index| self.slots.get(index));
            value = found
                .ok_or_else(|| Error::Field("a reference leads nowhere".to_owned()))?
                .value;
        }
        Ok((value, number))
    }

    /// The number of slots that the value with this number takes, its own included.
    pub(in crate::wire) fn size(&self, slot: usize) -> usize {
        slot.checked_sub(1)
            .and_then(|index| self.slots.get(index))
            .map_or(1, |slot| slot.size)
    }

    /// Counts one visit.
    pub(in crate::wire) fn visit(&self) -> Result<(), Error> {
        let visits = self.visits.get().saturating_add(1);
        self.visits.set(visits);
        if visits > self.slots.len().saturating_mul(4).saturating_add(SPARE_VISITS) {
            return Err(Error::Field(
                "references to shared values describe too many values".to_owned(),
            ));
        }
        Ok(())
    }
}
