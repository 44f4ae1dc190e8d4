//! One operation at a time, and once more if it was asked for meanwhile.
//!
//! Reconciling is idempotent and looks at everything: a request that comes while an operation runs is served by one more run
//! after it, however many requests there were. What must not live here: the operation, and how it runs.

/// What is running, and whether it must run again. `T` is what was asked for meanwhile, merged by the caller.
#[derive(Clone, Debug)]
pub struct OpQueue<T = ()> {
    begun: u64,
    state: QueueState<T>,
}

#[derive(Clone, Debug)]
enum QueueState<T> {
    Idle,
    Running { next: Option<T> },
}

impl<T> Default for OpQueue<T> {
    fn default() -> Self {
        OpQueue { begun: 0, state: QueueState::Idle }
    }
}

impl<T> OpQueue<T> {
    /// Asks for a run. Returns what to run now; nothing if one is under way, which `finish` then follows with one more.
    /// `merge` joins requests that wait.
    #[must_use = "what is returned has to be run"]
    pub fn request_with(&mut self, wanted: T, merge: impl FnOnce(&mut T, T)) -> Option<T> {
        match &mut self.state {
            QueueState::Idle => {
                self.begun += 1;
                self.state = QueueState::Running { next: None };
                Some(wanted)
            }
            QueueState::Running { next: Some(next) } => {
                merge(next, wanted);
                None
            }
            QueueState::Running { next } => {
                *next = Some(wanted);
                None
            }
        }
    }

    /// The run under way has ended. Returns what to run now: what was asked for meanwhile.
    #[must_use = "what is returned has to be run"]
    pub fn finish(&mut self) -> Option<T> {
        let QueueState::Running { next } = std::mem::replace(&mut self.state, QueueState::Idle) else {
            crate::never!("a run ends that was never begun");
            return None;
        };
        let next = next?;
        self.begun += 1;
        self.state = QueueState::Running { next: None };
        Some(next)
    }

    /// Whether a run is under way.
    pub fn is_running(&self) -> bool {
        matches!(self.state, QueueState::Running { .. })
    }

    /// The number of the run that will have seen all that was there when the last request was made.
    pub fn coming(&self) -> u64 {
        self.begun + u64::from(matches!(self.state, QueueState::Running { next: Some(_) }))
    }

    /// How many runs were begun.
    pub fn begun(&self) -> u64 {
        self.begun
    }
}

impl OpQueue {
    /// Asks for a run. Whether it has to be begun now.
    #[must_use = "if it is true, the operation has to be run"]
    pub fn request(&mut self) -> bool {
        self.request_with((), |(), ()| ()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_runs_and_any_number_of_requests_make_one_more() {
        let mut queue = OpQueue::default();
        assert!(queue.request());
        assert!(!queue.request());
        assert!(!queue.request());
        assert!(queue.is_running());
        assert_eq!(queue.finish(), Some(()), "it was asked for meanwhile");
        assert_eq!(queue.finish(), None);
        assert!(!queue.is_running());
        assert!(queue.request());
    }

    #[test]
    fn what_was_asked_for_meanwhile_is_merged() {
        let mut queue = OpQueue::default();
        let join = |mine: &mut Vec<u8>, more: Vec<u8>| mine.extend(more);
        assert_eq!(queue.request_with(vec![1], join), Some(vec![1]));
        assert_eq!(queue.request_with(vec![2], join), None);
        assert_eq!(queue.request_with(vec![3], join), None);
        assert_eq!(queue.finish(), Some(vec![2, 3]));
        assert_eq!(queue.finish(), None);
    }

    #[test]
    fn the_coming_run_sees_what_was_there_before_the_request() {
        let mut queue = OpQueue::default();
        assert!(queue.request());
        assert_eq!(queue.coming(), 1);
        assert!(!queue.request());
        assert_eq!(queue.coming(), 2, "the one under way may have looked already");
        assert_eq!(queue.finish(), Some(()));
        assert_eq!((queue.coming(), queue.begun()), (2, 2));
    }

    #[test]
    #[should_panic(expected = "this cannot happen")]
    fn an_end_without_a_beginning_is_a_mistake() {
        let _ = OpQueue::<()>::default().finish();
    }
}
