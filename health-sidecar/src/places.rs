//! A bounded number of places, and who has to go when there is none.
//!
//! A newcomer is always let in. Where there is no room, the one goes whose last use of its place is longest ago, or whose
//! coming is, if there was none. So nobody goes before as many others came or moved as there are places.

use std::collections::BTreeMap;

/// Places for at most so many connections, each with what keeps it: whoever is to go loses that.
#[derive(Debug)]
pub struct Places<T> {
    most: usize,
    next: u64,
    /// By when they were last used, in the order of uses.
    taken: BTreeMap<u64, T>,
}

/// A place that was taken. It changes with each use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl<T> Places<T> {
    /// Room for `most`.
    pub fn new(most: usize) -> Self {
        Self { most, next: 0, taken: BTreeMap::new() }
    }

    /// Lets somebody in. Gives the place, and what kept the one who has to go for it.
    pub fn take(&mut self, keeper: T) -> (Place, Option<T>) {
        let gone = if self.taken.len() >= self.most { self.taken.pop_first() } else { None };
        (self.insert(keeper), gone.map(|(_, keeper)| keeper))
    }

    /// Notes that the place is in use, and gives the one that it is from now on. One that is lost stays so.
    pub fn touch(&mut self, place: Place) -> Place {
        match self.taken.remove(&place.0) {
            Some(keeper) => self.insert(keeper),
            None => place,
        }
    }

    /// Makes room, if the place is not lost already.
    pub fn leave(&mut self, place: Place) {
        self.taken.remove(&place.0);
    }

    fn insert(&mut self, keeper: T) -> Place {
        let place = self.next;
        self.next = place.wrapping_add(1);
        self.taken.insert(place, keeper);
        Place(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_silent_for_longest_has_to_go() {
        let mut places = Places::new(3);
        let (first, _) = places.take("first");
        let (second, _) = places.take("second");
        let (_, gone) = places.take("third");
        assert_eq!(gone, None);
        let first = places.touch(first);
        assert_eq!(places.take("fourth").1, Some("second"));
        // Whoever has lost its place neither comes back by a late request nor takes another's away by leaving.
        assert_eq!(places.touch(second), second);
        places.leave(second);
        assert_eq!(places.take("fifth").1, Some("third"));
        assert_eq!(places.take("sixth").1, Some("first"));
        assert_eq!(places.touch(first), first);
        assert_eq!(places.taken.into_values().collect::<Vec<_>>(), ["fourth", "fifth", "sixth"]);
    }

    #[test]
    fn a_place_that_was_left_is_free() {
        let mut places = Places::new(1);
        for _ in 0..3 {
            let (place, gone) = places.take(());
            assert_eq!(gone, None);
            let place = places.touch(place);
            places.leave(place);
        }
    }

    #[test]
    fn a_newcomer_is_safe_from_as_many_others_as_there_are_places_but_one() {
        let mut places = Places::new(8);
        // A flood of clients that say nothing, for long.
        for _ in 0..1000 {
            places.take("silent");
        }
        let (_, gone) = places.take("kubelet");
        assert_eq!(gone, Some("silent"));
        assert!((0..7).all(|_| places.take("silent").1 == Some("silent")));
        assert_eq!(places.take("silent").1, Some("kubelet"));
    }
}
