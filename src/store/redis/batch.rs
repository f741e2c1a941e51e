//! Cutting a long list of arguments into calls that keep the server only for a moment.

use std::ops::Range;

use crate::store::port::QueueName;

/// Entries of one call at most.
const ENTRIES: usize = 500;
/// Bytes of one call, after which the next one begins.
const WEIGHT: usize = 4 << 20;

/// The ranges of the calls that carry entries of these weights (bytes), in order.
pub(in crate::store) fn calls(weights: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut sum = 0;
    for (index, weight) in weights.enumerate() {
        match ranges.last_mut() {
            Some(range) if range.len() < ENTRIES && sum + weight <= WEIGHT => {
                range.end = index + 1;
                sum += weight;
            }
            _ => {
                ranges.push(index..index + 1);
                sum = weight;
            }
        }
    }
    ranges
}

/// The different queues of some entries in order of appearance, and for each entry the index of its queue.
pub(in crate::store) fn queues_of<'a>(
    entries: impl Iterator<Item = &'a QueueName>,
) -> (Vec<&'a QueueName>, Vec<usize>) {
    let mut queues: Vec<&QueueName> = Vec::new();
    let indexes = entries
        .map(|queue| {
            queues
                .iter()
                .position(|known| *known == queue)
                .unwrap_or_else(|| {
                    queues.push(queue);
                    queues.len() - 1
                })
        })
        .collect();
    (queues, indexes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_bounded_by_count_and_weight() {
        assert!(calls(std::iter::empty()).is_empty());
        assert_eq!(
            calls(vec![400; 1001].into_iter()),
            [0..500, 500..1000, 1000..1001]
        );
        assert_eq!(calls([9 << 20, 1, 1].into_iter()), [0..1, 1..3]);
        assert_eq!(calls([1, 9 << 20].into_iter()), [0..1, 1..2]);
    }

    #[test]
    fn queues_are_named_once() {
        let (a, b) = (QueueName::new("a"), QueueName::new("b"));
        let (queues, indexes) = queues_of([&a, &b, &a].into_iter());
        assert_eq!((queues, indexes), (vec![&a, &b], vec![0, 1, 0]));
    }
}
