//! The table of operations in flight. A slot is free, in flight, done (its result waits to be
//! taken) or orphaned (nobody waits; its resources are let go when the kernel is finished).
//!
//! Most operations complete once. One that accepts stays in flight until its last completion; what
//! each earlier one brings is given to what the slot holds. One that lends memory is done with its
//! first completion, and its slot is then lent: it holds the memory, and nothing else, until the
//! second.

use super::held::{Flow, Held};
use crate::sync::Permit;
use std::task::{Context, Poll, Waker};

/// Names one operation: the slot's place, and how often the place was used, so that a late cancel
/// cannot hit the next user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    index: u32,
    /// From 1: generation 0 marks completions that belong to no slot.
    generation: u32,
}

impl Token {
    pub(super) fn user_data(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The token in a completion, or the low half of a completion without a slot.
    pub(super) fn of(user_data: u64) -> Result<Self, u32> {
        let index = u32::try_from(user_data & u64::from(u32::MAX)).unwrap_or(0);
        let generation = u32::try_from(user_data >> 32).unwrap_or(0);
        if generation == 0 { Err(index) } else { Ok(Self { index, generation }) }
    }
}

/// The places an operation takes under the limits, given back with the slot.
#[expect(dead_code, reason = "held for what happens when they are dropped")]
pub(super) struct Places {
    /// Under the limit of the ring.
    pub(super) ring: Permit,
    /// Under the limit of the device.
    pub(super) device: Option<Permit>,
}

enum State {
    Free,
    InFlight(Option<Waker>),
    Done(i32),
    Orphan,
    /// As done, but the kernel still reads the memory.
    DoneLent(i32),
    /// Nobody has a token any more, but the kernel still reads the memory.
    Lent,
}

struct Slot {
    generation: u32,
    state: State,
    content: Option<Content>,
}

/// What an operation holds, and its places as long as it is not done.
type Content = (Held, Option<Places>);

/// What is left to do after a completion, outside of the table's borrow.
pub(super) enum After {
    Nothing,
    Wake(Waker),
    Abandon(Held, Option<Places>),
}

impl After {
    /// Does it. `result` is that of the completion.
    pub(super) fn finish(self, result: i32) {
        match self {
            Self::Nothing => {}
            Self::Wake(waker) => waker.wake(),
            Self::Abandon(held, places) => {
                held.abandon(result);
                drop(places);
            }
        }
    }
}

/// The slots. Grows to the most that were ever in flight or lent, which the limits bound.
#[derive(Default)]
pub(super) struct SlotTable {
    slots: Vec<Slot>,
    free: Vec<u32>,
    in_flight: usize,
}

impl SlotTable {
    /// Operations the kernel has not finished. One of which it only still reads the memory is none.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Operations that are done, but for memory that the kernel still reads.
    #[cfg(test)]
    pub(super) fn lent(&self) -> usize {
        let is_lent = |slot: &&Slot| matches!(slot.state, State::DoneLent(_) | State::Lent);
        self.slots.iter().filter(is_lent).count()
    }

    pub(super) fn occupy(&mut self, held: Held, places: Places) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, state: State::Free, content: None });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        assert!(matches!(slot.state, State::Free), "an occupied slot is not on the free list");
        slot.generation = slot.generation.wrapping_add(1).max(1);
        slot.state = State::InFlight(None);
        slot.content = Some((held, Some(places)));
        self.in_flight += 1;
        Token { index, generation: slot.generation }
    }

    fn slot(&mut self, token: Token) -> &mut Slot {
        let slot = &mut self.slots[token.index as usize];
        assert!(slot.generation == token.generation, "a token outlives no use of its slot");
        slot
    }

    fn release(&mut self, token: Token) -> Content {
        let slot = self.slot(token);
        slot.state = State::Free;
        let Some(content) = slot.content.take() else { unreachable!("an occupied slot has content") };
        self.free.push(token.index);
        content
    }

    /// Leaves the memory in the slot. Gives the rest to whoever takes the result.
    fn leave_lent(&mut self, token: Token, result: i32) -> Content {
        let slot = self.slot(token);
        slot.state = State::Lent;
        let Some((held, places)) = slot.content.take() else { unreachable!("an occupied slot has content") };
        let (kept, given) = held.split(result);
        slot.content = Some((kept, None));
        (given, places)
    }

    /// Notes a completion after which more will come: whoever owns the operation is told. Says also whether the owner
    /// has enough for now.
    pub(super) fn pass_on(&mut self, token: Token, result: i32) -> (After, Flow) {
        let slot = self.slot(token);
        let Some((held, _)) = &slot.content else { unreachable!("an occupied slot has content") };
        let flow = held.pass_on(result);
        if flow == Flow::Lent {
            return (self.complete_lent(token, result), flow);
        }
        match &mut slot.state {
            State::InFlight(waker) => (waker.take().map_or(After::Nothing, After::Wake), flow),
            State::Orphan => (After::Nothing, flow),
            State::Free | State::Done(_) | State::DoneLent(_) | State::Lent => {
                unreachable!("nothing comes after the last completion")
            }
        }
    }

    /// Notes that an operation is done, but for its memory.
    fn complete_lent(&mut self, token: Token, result: i32) -> After {
        self.in_flight -= 1;
        let slot = self.slot(token);
        match std::mem::replace(&mut slot.state, State::DoneLent(result)) {
            State::InFlight(waker) => waker.map_or(After::Nothing, After::Wake),
            State::Orphan => {
                let (given, places) = self.leave_lent(token, result);
                After::Abandon(given, places)
            }
            State::Free | State::Done(_) | State::DoneLent(_) | State::Lent => {
                unreachable!("an operation is done once")
            }
        }
    }

    /// Notes the last completion.
    pub(super) fn complete(&mut self, token: Token, result: i32) -> After {
        let slot = self.slot(token);
        match std::mem::replace(&mut slot.state, State::Done(result)) {
            State::InFlight(waker) => {
                self.in_flight -= 1;
                waker.map_or(After::Nothing, After::Wake)
            }
            State::Orphan => {
                self.in_flight -= 1;
                let (held, places) = self.release(token);
                After::Abandon(held, places)
            }
            State::DoneLent(done) => {
                slot.state = State::Done(done);
                if let Some((held, _)) = &mut slot.content {
                    held.end_loan(result);
                }
                After::Nothing
            }
            State::Lent => {
                let (held, places) = self.release(token);
                After::Abandon(held, places)
            }
            State::Free | State::Done(_) => unreachable!("an operation completes for the last time once"),
        }
    }

    /// The result, when it is there.
    pub(super) fn poll(&mut self, token: Token, context: &Context<'_>) -> Poll<(i32, Held, Option<Places>)> {
        let slot = self.slot(token);
        let (result, (held, places)) = match &mut slot.state {
            State::Done(result) => (*result, self.release(token)),
            State::DoneLent(result) => {
                let result = *result;
                (result, self.leave_lent(token, result))
            }
            State::InFlight(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                return Poll::Pending;
            }
            State::Free | State::Orphan | State::Lent => unreachable!("only the owner of a token polls it"),
        };
        Poll::Ready((result, held, places))
    }

    /// The owner goes away. Returns what to let go at once, or nothing while the kernel is not
    /// finished with it.
    pub(super) fn orphan(&mut self, token: Token) -> Option<(i32, Held, Option<Places>)> {
        let slot = self.slot(token);
        let (result, (held, places)) = match &slot.state {
            State::Done(result) => (*result, self.release(token)),
            State::DoneLent(result) => {
                let result = *result;
                (result, self.leave_lent(token, result))
            }
            State::InFlight(_) => {
                slot.state = State::Orphan;
                return None;
            }
            State::Free | State::Orphan | State::Lent => unreachable!("an owner goes away once"),
        };
        Some((result, held, places))
    }

    /// True while the kernel works on this very operation.
    pub(super) fn is_in_flight(&self, token: Token) -> bool {
        self.slots.get(token.index as usize).is_some_and(|slot| {
            slot.generation == token.generation && matches!(slot.state, State::InFlight(_) | State::Orphan)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::{SendState, Socket};
    use super::super::loan::{Lender, Lending};
    use super::*;
    use crate::buffer::{Arena, BufferSlice, Region};
    use crate::runtime::contract::SendParts;
    use crate::sync::Limit;
    use futures_util::FutureExt as _;
    use futures_util::task::noop_waker;
    use std::rc::Rc;

    const BYTES: i32 = 64 << 10;

    /// An operation that lends, all that it was made of, and a limit of one operation.
    struct Fixture {
        slots: SlotTable,
        token: Token,
        arena: Arena,
        socket: Rc<Socket>,
        lender: Rc<Lender>,
        limit: Limit,
    }

    fn lending() -> Fixture {
        let arena = Arena::new(Region::allocate(2 << 20).unwrap(), 0);
        let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let socket = Socket::new(end.into());
        let lender = Lender::new(&Lending::new(1 << 20), true);
        let whole = 0..usize::try_from(BYTES).unwrap();
        let parts = SendParts::from_iter([BufferSlice::of(arena.try_take(whole.len()).unwrap(), whole)]);
        let mut state = SendState::new(Rc::clone(&socket), parts);
        assert!(state.borrow_from(&lender));
        let limit = Limit::new(1);
        let places = Places { ring: limit.enter().now_or_never().unwrap(), device: None };
        let mut slots = SlotTable::default();
        let token = slots.occupy(Held::Send(state), places);
        Fixture { slots, token, arena, socket, lender, limit }
    }

    #[test]
    fn a_send_that_is_done_leaves_its_memory_and_nothing_else() {
        let Fixture { mut slots, token, arena, socket, lender, limit } = lending();
        let (after, flow) = slots.pass_on(token, BYTES - 10);
        after.finish(BYTES - 10);
        assert_eq!((flow, slots.in_flight(), slots.lent()), (Flow::Lent, 0, 1));
        let polled = slots.poll(token, &Context::from_waker(&noop_waker()));
        let Poll::Ready((result, Held::Sent(Some(mut rest)), places)) = polled else { panic!("it is done") };
        assert_eq!(result, BYTES - 10);
        assert!(rest.aim().is_some());
        drop((rest, places));
        assert!(limit.enter().now_or_never().is_some(), "the next one may begin");
        assert_eq!(Rc::strong_count(&socket), 1);
        assert!(!slots.is_in_flight(token), "there is nothing to cancel");
        assert!(arena.available() < arena.capacity());
        slots.complete(token, 0).finish(0);
        assert_eq!((arena.available(), lender.lent(), slots.lent()), (arena.capacity(), 0, 0));
        assert!(lender.is_useful());
    }

    #[test]
    fn memory_that_is_back_before_anyone_asks_is_noted() {
        let Fixture { mut slots, token, arena, lender, .. } = lending();
        slots.pass_on(token, BYTES).0.finish(BYTES);
        slots.complete(token, i32::MIN).finish(i32::MIN);
        assert!(!lender.is_useful(), "the kernel copied");
        let polled = slots.poll(token, &Context::from_waker(&noop_waker()));
        let Poll::Ready((result, Held::Send(state), Some(_places))) = polled else { panic!("it is done") };
        assert_eq!(result, BYTES);
        drop(state);
        assert_eq!((arena.available(), lender.lent()), (arena.capacity(), 0));
    }

    #[test]
    fn an_orphan_that_lends_keeps_its_memory_only() {
        let Fixture { mut slots, token, arena, socket, lender, limit } = lending();
        assert!(slots.orphan(token).is_none());
        slots.pass_on(token, -libc::ECANCELED).0.finish(-libc::ECANCELED);
        assert_eq!(Rc::strong_count(&socket), 1);
        assert!(limit.enter().now_or_never().is_some());
        assert!(arena.available() < arena.capacity());
        slots.complete(token, i32::MIN).finish(i32::MIN);
        assert_eq!((arena.available(), lender.lent()), (arena.capacity(), 0));
        assert!(!lender.is_useful());
    }

    #[test]
    fn an_owner_that_leaves_when_it_is_done_leaves_the_memory() {
        let Fixture { mut slots, token, arena, socket, .. } = lending();
        slots.pass_on(token, BYTES).0.finish(BYTES);
        let Some((_, held, places)) = slots.orphan(token) else { panic!("it was done") };
        drop((held, places));
        assert_eq!(Rc::strong_count(&socket), 1);
        assert!(arena.available() < arena.capacity());
        slots.complete(token, 0).finish(0);
        assert_eq!(arena.available(), arena.capacity());
    }
}
