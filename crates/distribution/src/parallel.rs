//! Several things at a time, on threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use base::{Classified as _, Kind};

use crate::Result;

/// How many blobs are on their way at a time, in whichever direction (RC-067).
pub(crate) const BLOBS_AT_A_TIME: usize = 3;

/// Does `job` for all items, at most `threads` at a time; gives the results in order of the items. After a failure nothing further is begun, and
/// the first failure is what it comes to; jobs that were cancelled because of it may be heard of earlier, and do not count.
pub(crate) fn in_parallel<I: Sync, T: Send>(
    items: &[I],
    threads: usize,
    job: impl Fn(&I) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return };
            let result = job(item);
            if result.is_err() {
                next.store(items.len(), Ordering::Relaxed);
            }
            done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let is_cause = |result: &Result<T>| result.as_ref().is_err_and(|error| error.kind() != Kind::Cancelled);
    let cause = done.iter().position(|(_, result)| is_cause(result));
    if let Some(failed) = cause.or_else(|| done.iter().position(|(_, result)| result.is_err())) {
        done.swap(0, failed);
        done.truncate(1);
    }
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DistributionError;

    #[test]
    fn results_come_in_order_and_the_first_failure_ends_it() {
        let items: Vec<usize> = (0..50).collect();
        let doubled = in_parallel(&items, 4, |item| Ok(item * 2)).expect("no failure");
        assert_eq!(doubled, (0..50).map(|item| item * 2).collect::<Vec<_>>());
        let begun = AtomicUsize::new(0);
        let failing = in_parallel(&items, 2, |item| {
            begun.fetch_add(1, Ordering::Relaxed);
            if *item == 3 { Err(DistributionError::NoHost("3".to_owned())) } else { Ok(()) }
        });
        assert!(matches!(failing, Err(DistributionError::NoHost(_))));
        assert!(begun.into_inner() < 50);
    }

    #[test]
    fn what_was_cancelled_because_of_a_failure_does_not_hide_it() {
        let barrier = std::sync::Barrier::new(2);
        let failing = in_parallel(&[false, true], 2, |is_cause| -> Result<()> {
            barrier.wait();
            if *is_cause {
                // The other one is heard of first.
                std::thread::sleep(std::time::Duration::from_millis(50));
                return Err(DistributionError::NoHost("cause".to_owned()));
            }
            Err(base::Cancelled.into())
        });
        assert!(matches!(failing, Err(DistributionError::NoHost(_))), "{failing:?}");
        let cancelled = in_parallel(&[()], 1, |()| -> Result<()> { Err(base::Cancelled.into()) });
        assert_eq!(cancelled.expect_err("cancelled").kind(), Kind::Cancelled);
    }
}
