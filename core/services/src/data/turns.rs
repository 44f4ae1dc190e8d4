//! Whose turn it is: pieces of work wait by plugin, and plugins take turns, so that one with much of it holds up no other. Pure.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// What waits.
#[derive(Debug)]
pub(super) struct Turns<T> {
    /// Plugins of which something waits, in the order of their turns.
    order: VecDeque<Arc<str>>,
    waiting: HashMap<Arc<str>, VecDeque<T>>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Turns { order: VecDeque::new(), waiting: HashMap::new() }
    }
}

impl<T> Turns<T> {
    /// One more; back comes what is too much, where so many wait already.
    pub(super) fn add(&mut self, plugin: &Arc<str>, most: usize, work: T) -> Result<(), T> {
        let waiting = self.waiting.entry(plugin.clone()).or_default();
        if waiting.len() >= most {
            return Err(work);
        }
        if waiting.is_empty() {
            self.order.push_back(plugin.clone());
        }
        waiting.push_back(work);
        Ok(())
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Option<T> {
        let plugin = self.order.pop_front()?;
        let waiting = self.waiting.get_mut(&plugin)?;
        let work = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&plugin);
        } else {
            self.order.push_back(plugin);
        }
        work
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_take_turns() {
        let mut turns = Turns::default();
        let (flood, other): (Arc<str>, Arc<str>) = ("flood".into(), "other".into());
        for number in 0..3 {
            assert_eq!(turns.add(&flood, 3, number), Ok(()));
        }
        assert_eq!(turns.add(&flood, 3, 3), Err(3));
        assert_eq!(turns.add(&other, 3, 10), Ok(()));
        let taken: Vec<_> = std::iter::from_fn(|| turns.next()).collect();
        assert_eq!(taken, [0, 10, 1, 2]);
        assert!(turns.is_empty());
        assert_eq!(turns.add(&flood, 3, 4), Ok(()), "room again");
    }
}
