//! Things that one request names more than once. Which of the two was meant nobody can tell, so nothing is done for either.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// The first item of each key, in order, and whether the key is there again.
pub(crate) fn first_of_each<'r, T, K: Ord>(items: &'r [T], key: impl Fn(&'r T) -> K) -> Vec<(&'r T, bool)> {
    let mut positions = BTreeMap::new();
    let mut first: Vec<(&T, bool)> = Vec::new();
    for item in items {
        match positions.entry(key(item)) {
            Entry::Vacant(entry) => {
                entry.insert(first.len());
                first.push((item, false));
            }
            Entry::Occupied(entry) => first[*entry.get()].1 = true,
        }
    }
    first
}

/// The keys that are there more than once.
pub(crate) fn repeated<K: Ord + Copy>(keys: impl Iterator<Item = K>) -> BTreeSet<K> {
    let mut seen = BTreeSet::new();
    keys.filter(|key| !seen.insert(*key)).collect()
}
