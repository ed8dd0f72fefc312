//! Places that the idle give up to others, whoever has been idle for longest first.

use super::limit::{Limit, Permit};
use slab::Slab;
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What the one in a seat is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Something that is not to be disturbed.
    Work,
    /// Nothing, between these two.
    Nothing { longer: Option<usize>, shorter: Option<usize> },
    /// It was asked to leave, and has not left yet.
    Leaving,
}

#[derive(Debug)]
struct Taken {
    doing: Doing,
    /// Of the one in the seat, while it would leave if asked.
    waker: Option<Waker>,
}

/// Those in seats, and the idle of them from the longest to the shortest.
#[derive(Debug, Default)]
struct Room {
    taken: Slab<Taken>,
    longest: Option<usize>,
    shortest: Option<usize>,
    leaving: usize,
}

/// At most so many at once, in turn. While somebody waits for a seat, those who do nothing are asked to leave theirs: as
/// many as wait, the longest idle first. Falling idle and beginning again takes nothing from the heap.
#[derive(Clone)]
pub struct Seats {
    inner: Rc<Inner>,
}

struct Inner {
    limit: Limit,
    room: RefCell<Room>,
}

/// A seat among [`Seats`]; dropping it hands it to the next in line. Whoever sits down is at work.
pub struct Seat {
    inner: Rc<Inner>,
    number: usize,
    _permit: Permit,
}

impl Room {
    fn link(&mut self, number: usize) {
        let longer = self.shortest.replace(number);
        match longer {
            Some(longer) => self.set_shorter(longer, Some(number)),
            None => self.longest = Some(number),
        }
        self.taken[number].doing = Doing::Nothing { longer, shorter: None };
    }

    /// Takes it out from among the idle.
    fn unlink(&mut self, longer: Option<usize>, shorter: Option<usize>) {
        match longer {
            Some(longer) => self.set_shorter(longer, shorter),
            None => self.longest = shorter,
        }
        match shorter {
            Some(shorter) => self.set_longer(shorter, longer),
            None => self.shortest = longer,
        }
    }

    fn set_shorter(&mut self, number: usize, value: Option<usize>) {
        if let Doing::Nothing { shorter, .. } = &mut self.taken[number].doing {
            *shorter = value;
        }
    }

    fn set_longer(&mut self, number: usize, value: Option<usize>) {
        if let Doing::Nothing { longer, .. } = &mut self.taken[number].doing {
            *longer = value;
        }
    }

    /// Ends idleness, also that of one who was asked to leave.
    fn rouse(&mut self, number: usize) {
        match self.taken[number].doing {
            Doing::Work => {}
            Doing::Nothing { longer, shorter } => self.unlink(longer, shorter),
            Doing::Leaving => self.leaving -= 1,
        }
        self.taken[number].doing = Doing::Work;
        self.taken[number].waker = None;
    }

    /// Asks the longest idle to leave; the one to wake.
    fn ask_one(&mut self) -> Option<Option<Waker>> {
        let number = self.longest?;
        if let Doing::Nothing { longer, shorter } = self.taken[number].doing {
            self.unlink(longer, shorter);
        }
        self.taken[number].doing = Doing::Leaving;
        self.leaving += 1;
        Some(self.taken[number].waker.take())
    }
}

impl Inner {
    /// Has as many leave as wait.
    fn ask(&self) {
        loop {
            let asked = {
                let mut room = self.room.borrow_mut();
                if self.limit.waiting() <= room.leaving { None } else { room.ask_one() }
            };
            match asked {
                None => return,
                // A waker may run code that comes here again: nothing is borrowed now.
                Some(waker) => waker.into_iter().for_each(Waker::wake),
            }
        }
    }
}

impl Seats {
    /// So many.
    ///
    /// # Panics
    /// If there are none.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self { inner: Rc::new(Inner { limit: Limit::new(count), room: RefCell::default() }) }
    }

    /// Waits for a seat, in turn.
    pub async fn enter(&self) -> Seat {
        let mut entering = pin!(self.inner.limit.enter());
        let permit = poll_fn(|context| {
            let entered = entering.as_mut().poll(context);
            if entered.is_pending() {
                self.inner.ask();
            }
            entered
        })
        .await;
        let taken = Taken { doing: Doing::Work, waker: None };
        let number = self.inner.room.borrow_mut().taken.insert(taken);
        Seat { inner: Rc::clone(&self.inner), number, _permit: permit }
    }

    /// Those in seats.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.inner.room.borrow().taken.len()
    }
}

impl Seat {
    /// From now on idle; may be asked to leave at once.
    pub fn rest(&self) {
        {
            let mut room = self.inner.room.borrow_mut();
            room.rouse(self.number);
            room.link(self.number);
        }
        self.inner.ask();
    }

    /// From now on at work. If it was asked to leave, another is.
    pub fn work(&self) {
        self.inner.room.borrow_mut().rouse(self.number);
        self.inner.ask();
    }

    /// Whether more wait for seats than were asked to leave theirs: nobody is idle.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.inner.limit.waiting() > self.inner.room.borrow().leaving
    }

    /// Resolves when this seat is asked for. The last who waits for that is told.
    pub async fn asked(&self) {
        poll_fn(|context| {
            let mut room = self.inner.room.borrow_mut();
            let taken = &mut room.taken[self.number];
            if taken.doing == Doing::Leaving {
                return Poll::Ready(());
            }
            match &mut taken.waker {
                Some(waker) => waker.clone_from(context.waker()),
                none @ None => *none = Some(context.waker().clone()),
            }
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut room = self.inner.room.borrow_mut();
        room.rouse(self.number);
        room.taken.remove(self.number);
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seats").field("taken", &self.taken()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Wake};

    /// How often it was woken.
    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enter(seats: &Seats) -> Pin<Box<dyn Future<Output = Seat>>> {
        let seats = seats.clone();
        Box::pin(async move { seats.enter().await })
    }

    fn is_asked(seat: &Seat) -> bool {
        seat.asked().now_or_never().is_some()
    }

    #[test]
    fn the_longest_idle_leaves_and_who_works_stays() {
        let seats = Seats::new(3);
        let all: Vec<Seat> = (0..3).map(|_| seats.enter().now_or_never().unwrap()).collect();
        all[2].rest();
        all[0].rest();
        assert!(!is_asked(&all[0]) && !is_asked(&all[2]), "nobody waits");
        let mut late = enter(&seats);
        assert!((&mut late).now_or_never().is_none());
        assert!(is_asked(&all[2]) && !is_asked(&all[0]) && !is_asked(&all[1]));
        let mut later = enter(&seats);
        let mut last = enter(&seats);
        assert!((&mut later).now_or_never().is_none() && (&mut last).now_or_never().is_none());
        assert!(is_asked(&all[0]) && !is_asked(&all[1]));
        assert!(all[1].is_wanted());
        // Only now the third finds an idle one.
        all[1].rest();
        assert!(is_asked(&all[1]) && !all[1].is_wanted());
        drop(all);
        let seated = [late, later, last].map(|wait| wait.now_or_never().unwrap());
        assert_eq!(seats.taken(), 3);
        drop(seated);
        assert_eq!(seats.taken(), 0);
    }

    #[test]
    fn whoever_begins_again_is_asked_no_more_and_another_is() {
        let seats = Seats::new(2);
        let [first, second] = [(); 2].map(|()| seats.enter().now_or_never().unwrap());
        first.rest();
        second.rest();
        let mut late = enter(&seats);
        assert!((&mut late).now_or_never().is_none());
        assert!(is_asked(&first) && !is_asked(&second));
        first.work();
        assert!(!is_asked(&first) && is_asked(&second));
        second.work();
        assert!(!is_asked(&second));
        first.rest();
        assert!(is_asked(&first), "one still waits");
        drop(late);
        first.work();
        first.rest();
        assert!(!is_asked(&first), "who waited has gone");
    }

    #[test]
    fn being_asked_wakes() {
        let seats = Seats::new(1);
        let seat = seats.enter().now_or_never().unwrap();
        seat.rest();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut asked = Box::pin(seat.asked());
        assert!(asked.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        let mut late = enter(&seats);
        assert!((&mut late).now_or_never().is_none());
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(asked.as_mut().now_or_never().is_some());
        drop(asked);
        drop(seat);
        assert!(late.now_or_never().is_some());
    }

    #[test]
    fn seats_that_were_left_are_linked_no_more() {
        let seats = Seats::new(3);
        for round in 0..50_usize {
            let all: Vec<Seat> = (0..3).map(|_| seats.enter().now_or_never().unwrap()).collect();
            for step in 0..3 {
                all[(round + step) % 3].rest();
            }
            all[(round + 1) % 3].work();
            let mut all: Vec<_> = all.into_iter().map(Some).collect();
            all[(round + 2) % 3] = None;
            let mut late = enter(&seats);
            let seated = (&mut late).now_or_never().unwrap();
            let mut later = enter(&seats);
            assert!((&mut later).now_or_never().is_none());
            assert!(is_asked(all[round % 3].as_ref().unwrap()));
            drop(seated);
            assert!(later.now_or_never().is_some());
        }
        let room = seats.inner.room.borrow();
        assert_eq!((room.longest, room.shortest, room.leaving, room.taken.len()), (None, None, 0, 0));
    }
}
