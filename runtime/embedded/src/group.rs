//! Group commit: whoever finds nobody at work does the work of all who wait, the others wait for their answer.
//!
//! No thread of its own and no timer: under load the next group gathers while the present one is being synced. Knows nothing of what the
//! work is.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// Requests that wait and answers that are not yet fetched.
pub(crate) struct Group<Q, A> {
    state: Mutex<State<Q, A>>,
    turn: Condvar,
}

struct State<Q, A> {
    waiting: VecDeque<(u64, usize, Q)>,
    answers: HashMap<u64, A>,
    next: u64,
    leading: bool,
    broken: bool,
}

impl<Q, A> Group<Q, A> {
    pub(crate) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), answers: HashMap::new(), next: 0, leading: false, broken: false };
        Self { state: Mutex::new(state), turn: Condvar::new() }
    }

    /// Has a request of so many bytes done, in a group of at most `bytes_max` (or of one request). `work` gives one answer a request, in
    /// their order.
    ///
    /// # Panics
    /// When another thread's `work` panicked: an invariant is broken, and this log is not to be written to again.
    pub(crate) fn submit(&self, request: Q, bytes: usize, bytes_max: usize, work: impl Fn(Vec<Q>) -> Vec<A>) -> A {
        let mut state = self.lock();
        let ticket = state.next;
        state.next += 1;
        state.waiting.push_back((ticket, bytes, request));
        loop {
            assert!(!state.broken, "invariant: no leader of a group commit panics");
            if let Some(answer) = state.answers.remove(&ticket) {
                return answer;
            }
            if state.leading {
                state = self.turn.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.leading = true;
            let (tickets, requests) = take(&mut state.waiting, bytes_max);
            drop(state);
            let guard = Leading(self);
            let answers = work(requests);
            assert_eq!(answers.len(), tickets.len(), "invariant: one answer a request");
            std::mem::forget(guard);
            state = self.lock();
            state.leading = false;
            state.answers.extend(tickets.into_iter().zip(answers));
            self.turn.notify_all();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<Q, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take<Q>(waiting: &mut VecDeque<(u64, usize, Q)>, bytes_max: usize) -> (Vec<u64>, Vec<Q>) {
    let mut group = (Vec::new(), Vec::new());
    let mut sum = 0usize;
    while let Some((_, bytes, _)) = waiting.front() {
        sum = sum.saturating_add(*bytes);
        if sum > bytes_max && !group.0.is_empty() {
            break;
        }
        let (ticket, _, request) = waiting.pop_front().expect("invariant: the front was there");
        group.0.push(ticket);
        group.1.push(request);
    }
    group
}

/// Dropped only by a panic of the work: whoever waits must not wait for ever.
struct Leading<'a, Q, A>(&'a Group<Q, A>);

impl<Q, A> Drop for Leading<'_, Q, A> {
    fn drop(&mut self) {
        self.0.lock().broken = true;
        self.0.turn.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn all_are_answered_and_those_who_come_meanwhile_share_one_turn() {
        let group = Group::<usize, usize>::new();
        let turns = AtomicUsize::new(0);
        let entered = Barrier::new(2);
        let gathered = Barrier::new(2);
        let work = |requests: Vec<usize>| {
            if turns.fetch_add(1, Ordering::SeqCst) == 0 {
                entered.wait();
                gathered.wait();
            }
            requests.into_iter().map(|request| request * 2).collect()
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| group.submit(100, 1, 1_000, work));
            entered.wait();
            let others: Vec<_> = (0..8).map(|n| (n, scope.spawn(move || n))).collect();
            let others: Vec<_> = others
                .into_iter()
                .map(|(n, _)| {
                    scope.spawn({
                        let (group, work) = (&group, &work);
                        move || group.submit(n, 1, 1_000, work)
                    })
                })
                .collect();
            while group.lock().waiting.len() < 8 {
                std::thread::yield_now();
            }
            gathered.wait();
            assert_eq!(first.join().expect("no panic"), 200);
            for (n, other) in others.into_iter().enumerate() {
                assert_eq!(other.join().expect("no panic"), n * 2);
            }
        });
        assert_eq!(turns.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_group_keeps_to_its_bytes_but_takes_one_request_of_any_size() {
        let mut waiting: VecDeque<(u64, usize, ())> = [(0, 99, ()), (1, 4, ()), (2, 4, ()), (3, 4, ())].into();
        assert_eq!(take(&mut waiting, 10).0, [0]);
        assert_eq!(take(&mut waiting, 10).0, [1, 2]);
        assert_eq!(take(&mut waiting, 10).0, [3]);
    }

    #[test]
    fn a_panic_of_the_leader_is_everybodys() {
        let group = Group::<(), ()>::new();
        let one =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| group.submit((), 1, 1, |_| panic!("broken"))));
        assert!(one.is_err());
        let two = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| group.submit((), 1, 1, |_| vec![()])));
        assert!(two.is_err());
    }
}
