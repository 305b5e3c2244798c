//! Ordered sets and maps.

/// A map in one vector, ordered by its keys. It is for tables of some tens of rows, because a row that comes or goes moves
/// all rows behind it. It takes less memory than a tree, and its code a tenth of the 5 KB that a tree of one more type
/// adds to the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SortedMap<K, V> {
    rows: Vec<(K, V)>,
}

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> SortedMap<K, V> {
        SortedMap { rows: Vec::new() }
    }
}

impl<K: Ord + Copy, V> SortedMap<K, V> {
    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let at = self.find(key).ok()?;
        self.rows.get(at).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let at = self.find(key).ok()?;
        self.rows.get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &K) -> bool {
        self.find(key).is_ok()
    }

    /// Adds a row, or replaces its value. Returns the value before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => self.rows.get_mut(at).map(|(_, before)| std::mem::replace(before, value)),
            Err(at) => {
                self.rows.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes a row away. Returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.find(key).ok().map(|at| self.rows.remove(at).1)
    }

    /// Keeps the rows of which that is true.
    pub fn retain(&mut self, mut is_kept: impl FnMut(&K, &V) -> bool) {
        self.rows.retain(|(key, value)| is_kept(key, value));
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.rows.iter().map(|(key, value)| (key, value))
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.rows.iter().map(|(key, _)| key)
    }

    /// The values, by key.
    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.rows.iter().map(|(_, value)| value)
    }

    fn find(&self, key: &K) -> Result<usize, usize> {
        self.rows.binary_search_by_key(key, |&(key, _)| key)
    }
}

/// Makes a set or a map of `items`, one after the other. `collect` would sort them first, and the sort for one more type
/// adds 5 KB to the program.
pub fn insert_all<C: Default + Extend<T>, T>(items: impl IntoIterator<Item = T>) -> C {
    let mut all = C::default();
    all.extend(items);
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::state::random::Random;

    #[test]
    fn a_sorted_map_answers_as_a_tree_does() {
        let (mut map, mut tree) = (SortedMap::default(), BTreeMap::new());
        let mut random = Random::new(1);
        for step in 0..2_000 {
            let key = random.below(20);
            match random.below(4) {
                0 | 1 => assert_eq!(map.insert(key, step), tree.insert(key, step)),
                2 => assert_eq!(map.remove(&key), tree.remove(&key)),
                _ => {
                    assert_eq!(map.get_mut(&key).map(std::mem::take), tree.get_mut(&key).map(std::mem::take));
                }
            }
            if random.below(50) == 0 {
                map.retain(|&key, &value| key % 2 == 0 || value > 1_000);
                tree.retain(|&key, value| key % 2 == 0 || *value > 1_000);
            }
            assert!(map.iter().eq(&tree) && map.keys().eq(tree.keys()) && map.values().eq(tree.values()));
            assert_eq!((map.len(), map.is_empty()), (tree.len(), tree.is_empty()));
            assert_eq!((map.get(&key), map.contains_key(&key)), (tree.get(&key), tree.contains_key(&key)));
        }
    }
}
