//! Ordered sets and maps.

/// Makes a set or a map of `items`, one after the other. `collect` would sort them first, and the sort for one more type
/// adds 5 KB to the program.
pub fn insert_all<C: Default + Extend<T>, T>(items: impl IntoIterator<Item = T>) -> C {
    let mut all = C::default();
    all.extend(items);
    all
}
