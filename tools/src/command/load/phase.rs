//! One stretch of load: starts the threads together, shows how far they are, and adds their counts up.

use super::LoadError;
use super::content::Random;
use super::mix::{Mix, Operation};
use super::plan::{KeyOrder, Limit, Plan};
use super::tally::Tally;
use super::worker::Worker;
use crate::progress::Progress;
use crate::{clock, output};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often the display is renewed.
const DISPLAY_INTERVAL: Duration = Duration::from_millis(200);

/// What a stretch came to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// From the moment that all connections were open to the last answer.
    pub(super) elapsed: Duration,
}

/// What the threads of a stretch share: counters, none of which guards anything else, so all are relaxed.
#[derive(Debug)]
pub(super) struct Shared<'run> {
    mix: &'run Mix,
    limit: Limit,
    order: KeyOrder,
    tickets: AtomicU64,
    puts: AtomicU64,
    deletes: AtomicU64,
    done: AtomicU64,
    done_bytes: AtomicU64,
    aborted: AtomicBool,
}

impl Shared<'_> {
    pub(super) const fn mix(&self) -> &Mix {
        self.mix
    }

    /// Counts a success for the display.
    pub(super) fn count(&self, bytes: u64) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether another thread gave up.
    pub(super) fn is_aborted(&self) -> bool {
        self.aborted.load(Ordering::Relaxed)
    }
}

/// Hands one thread its next request, until there is none.
#[derive(Debug)]
pub(super) struct Ticket<'run> {
    shared: &'run Shared<'run>,
    objects: u64,
    deadline: Option<Instant>,
    random: Random,
}

impl Ticket<'_> {
    /// Operation and object of the next request.
    pub(super) fn next(&mut self) -> Option<(Operation, u64)> {
        if self.shared.is_aborted() || self.deadline.is_some_and(|deadline| clock::now() >= deadline) {
            return None;
        }
        if let Limit::Requests(most) = self.shared.limit
            && self.shared.tickets.fetch_add(1, Ordering::Relaxed) >= most
        {
            return None;
        }
        let operation = self.shared.mix.choose(self.random.next());
        let reads = matches!(operation, Operation::Get | Operation::Head | Operation::List);
        let shared = self.shared;
        let object = match (shared.order, operation) {
            (KeyOrder::Usual, _) if reads => self.random.below(self.objects),
            (KeyOrder::Random, _) => self.random.below(self.objects),
            (KeyOrder::Usual, Operation::Delete) => self.in_turn(&shared.deletes),
            (KeyOrder::Usual, _) => self.in_turn(&shared.puts),
            (KeyOrder::Scattered, _) => scattered(self.in_turn(&shared.puts), self.objects),
        };
        Some((operation, object))
    }

    fn in_turn(&self, counter: &AtomicU64) -> u64 {
        counter.fetch_add(1, Ordering::Relaxed).checked_rem(self.objects).unwrap_or(0)
    }
}

/// A rearrangement of the numbers below `objects`: each comes from exactly one `turn`.
fn scattered(turn: u64, objects: u64) -> u64 {
    // A prime near the golden section of 2^32: where it does not divide `objects`, its multiples meet each number once.
    const STRIDE: u64 = 2_654_435_761;
    if objects.is_multiple_of(STRIDE) {
        return turn;
    }
    let place = (u128::from(turn) * u128::from(STRIDE)).checked_rem(u128::from(objects)).unwrap_or(0);
    u64::try_from(place).unwrap_or(0)
}

/// Runs `mix` until `limit`.
pub(super) fn run_phase(
    plan: &Plan,
    label: &'static str,
    mix: &Mix,
    limit: Limit,
    order: KeyOrder,
) -> Result<Outcome, LoadError> {
    let options = plan.options();
    let connections = match limit {
        Limit::Duration(_) => options.connections,
        Limit::Requests(most) => options.connections.min(usize::try_from(most).unwrap_or(usize::MAX)),
    };
    let threads = options.threads.min(connections);
    let shared = Shared {
        mix,
        limit,
        order,
        tickets: AtomicU64::new(0),
        puts: AtomicU64::new(0),
        deletes: AtomicU64::new(0),
        done: AtomicU64::new(0),
        done_bytes: AtomicU64::new(0),
        aborted: AtomicBool::new(false),
    };
    let ready = Barrier::new(threads + 1);
    let (begun, results) = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let share = share_of(connections, threads, thread);
                let (shared, ready) = (&shared, &ready);
                scope.spawn(move || run_thread(plan, shared, ready, share, thread))
            })
            .collect();
        ready.wait();
        let begun = clock::now();
        let mut progress = Progress::new(label, display_total(limit));
        while !workers.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            clock::pause(DISPLAY_INTERVAL);
            show(&mut progress, &shared, begun);
        }
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        (begun, workers.into_iter().map(join).collect::<Vec<_>>())
    });
    let mut tally = Tally::new();
    for result in results {
        tally.add(&result?);
    }
    let elapsed = tally.last.map_or(Duration::ZERO, |last| last.duration_since(begun));
    Ok(Outcome { tally, elapsed })
}

fn run_thread(
    plan: &Plan,
    shared: &Shared<'_>,
    ready: &Barrier,
    connections: usize,
    thread: usize,
) -> Result<Tally, LoadError> {
    let worker = Worker::connect(plan, shared, connections);
    // Reached whether or not the connections are open, or the other threads would wait for ever.
    ready.wait();
    let deadline = match shared.limit {
        Limit::Duration(duration) => clock::now().checked_add(duration),
        Limit::Requests(_) => None,
    };
    let seed = plan.options().seed.wrapping_add(u64::try_from(thread).unwrap_or(0));
    // The first number keeps neighbouring seeds from giving the same choices one step apart.
    let random = Random::new(Random::new(seed).next());
    let ticket = Ticket { shared, objects: plan.options().objects, deadline, random };
    let result = worker.map_err(LoadError::Connection).and_then(|worker| worker.run(ticket));
    if result.is_err() {
        shared.aborted.store(true, Ordering::Relaxed);
    }
    result
}

/// Connections of one thread: as even as can be, and they add up.
fn share_of(connections: usize, threads: usize, thread: usize) -> usize {
    (thread..connections).step_by(threads).count()
}

/// Milliseconds or requests.
fn display_total(limit: Limit) -> u64 {
    match limit {
        Limit::Duration(duration) => u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        Limit::Requests(most) => most,
    }
}

fn show(progress: &mut Progress, shared: &Shared<'_>, begun: Instant) {
    let done = shared.done.load(Ordering::Relaxed);
    let bytes = shared.done_bytes.load(Ordering::Relaxed);
    let elapsed = begun.elapsed();
    let seconds = elapsed.as_secs_f64().max(1e-3);
    let position = match shared.limit {
        Limit::Duration(_) => u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        Limit::Requests(_) => done,
    };
    let rate = done as f64 / seconds;
    progress.set(position, format!("{done} requests, {}, {rate:.0}/s", output::format_size(bytes)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shared_out_evenly() {
        let shares: Vec<_> = (0..3).map(|thread| share_of(8, 3, thread)).collect();
        assert_eq!(shares, [3, 3, 2]);
    }

    #[test]
    fn keys_are_written_in_turn_and_requests_run_out() {
        let mix = Mix::only(Operation::Put);
        let shared = Shared {
            mix: &mix,
            limit: Limit::Requests(5),
            order: KeyOrder::Usual,
            tickets: AtomicU64::new(0),
            puts: AtomicU64::new(0),
            deletes: AtomicU64::new(0),
            done: AtomicU64::new(0),
            done_bytes: AtomicU64::new(0),
            aborted: AtomicBool::new(false),
        };
        let mut ticket = Ticket { shared: &shared, objects: 3, deadline: None, random: Random::new(1) };
        let objects: Vec<_> = std::iter::from_fn(|| ticket.next()).map(|(_, object)| object).collect();
        assert_eq!(objects, [0, 1, 2, 0, 1]);
        shared.aborted.store(true, Ordering::Relaxed);
        assert_eq!(ticket.next(), None);
    }

    #[test]
    fn scattered_keys_come_once_each_and_not_in_a_row() {
        for objects in [1, 2, 7, 1000, 32_768] {
            let mut places: Vec<_> = (0..objects).map(|turn| scattered(turn, objects)).collect();
            let neighbours = places.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count();
            assert!(objects < 1000 || neighbours == 0, "{objects}: {neighbours}");
            places.sort_unstable();
            assert!(places.into_iter().eq(0..objects), "{objects}");
        }
    }
}
