//! Every bound of this back-end, and how the bounds depend on each other.

use std::time::Duration;

/// Socket operations one core has in flight; an idle connection holds one (its receive).
pub const SOCKET_OPERATIONS_MAX: usize = 16_384;
/// Device operations one core has in flight, over all devices.
pub const DISK_OPERATIONS_MAX: usize = 4096;
/// Device operations one core has in flight on one device. More would only wait in the kernel.
pub const DEVICE_IN_FLIGHT_MAX: usize = 256;
/// Cancellations one core has in flight; the rest wait, their operations merely end later.
pub const CANCELS_IN_FLIGHT_MAX: usize = 1024;
/// Cores of one process.
pub const CORES_MAX: usize = 1024;
/// Devices of one process.
pub const DEVICES_MAX: usize = 1024;

/// Entries of the submission ring: one batch of a turn. What does not fit waits for the next.
pub(super) const SUBMISSION_ENTRIES: u32 = 1024;
/// What an operation makes the kernel copy before it counts as bulk, bytes.
pub(super) const BULK_BYTES_MIN: usize = 64 << 10;
/// Bulk after which a batch takes no more of it, bytes: some 30 µs of copying, about what two small requests take.
pub(super) const BULK_BYTES_PER_BATCH: usize = 256 << 10;
/// Batches after a short send for which bulk is held back: the next short request comes a few turns later.
pub(super) const SHORT_SENDS_MEMORY: u32 = 64;
/// Sends that are over whose memory is kept for the next ones.
pub(super) const SPARE_SENDS_MAX: usize = 256;
/// Tasks of one core that are over and kept to run others.
pub(super) const SPARE_TASKS_MAX: usize = 128;
/// The largest future whose task is kept, bytes: that of a row takes 12 KiB, because its chunks are written side by side.
pub(super) const SPARE_TASK_BYTES_MAX: usize = 16 << 10;
/// Entries of the completion ring.
pub(super) const COMPLETION_ENTRIES: u32 = 32_768;
// Each operation and each cancellation completes exactly once, each other core's ring gets at most
// one message of ours per turn, one message of all others together waits for us, and one poll
// waits for signals. A listener completes once for each connection: those of a full backlog have
// places here, and so have the second completions of sends that lend. So the completion ring overflows only if more come while they are accepted; then the
// kernel keeps what has no place, for the next turn.
const _: () = assert!(
    SOCKET_OPERATIONS_MAX
        + DISK_OPERATIONS_MAX
        + CANCELS_IN_FLIGHT_MAX
        + CORES_MAX
        + 2
        + BACKLOG_MAX
        + LOANS_MAX
        <= COMPLETION_ENTRIES as usize
);

/// How long the process waits at its end for transfers that nobody wants any more.
pub(super) const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Longest an idle core sleeps in its ring. Nothing depends on it: a core blocks only when the
/// count of runnable tasks is zero, and each event that could make one runnable (completion, timer,
/// message, signal) ends the sleep. It bounds the damage if that argument had a hole, at a cost of
/// ten wake-ups per second.
pub(super) const IDLE_BLOCK_MAX: Duration = Duration::from_millis(100);
/// glommio's preemption timer: never. glommio 0.9 parks for ever, with tasks runnable, when this
/// timer expires between being set and the first task's turn, as happens on a busy machine; a
/// periodic glommio timer does not help, because its own task may be among those left runnable.
/// So glommio's reactor is not to be entered at all while tasks run: our driver sleeps in our ring,
/// and [`TASK_SLICE`] divides the time.
pub(super) const PREEMPT_TIMER: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long one task queue may run before the driver and the other queues get a turn. Checked
/// after each poll of a task, so a longer poll delays everyone else by itself.
pub(super) const TASK_SLICE: Duration = Duration::from_micros(500);
/// Memory glommio takes for I/O that we never do through it, bytes.
pub(super) const GLOMMIO_IO_MEMORY: usize = 64 << 10;
/// Depth of glommio's own rings, which carry nothing but its timers.
pub(super) const GLOMMIO_RING_DEPTH: usize = 16;
/// Locked memory glommio insists on, bytes.
pub(super) const GLOMMIO_MEMLOCK_MIN: u64 = 512 << 10;
/// Task polls after which the queue that runs lets the driver have a turn.
pub(super) const POLLS_PER_TURN_MAX: u32 = 64;
/// Shares of the driver and of foreground tasks.
pub(super) const FOREGROUND_SHARES: usize = 1000;
/// Shares of background tasks.
pub(super) const BACKGROUND_SHARES: usize = 100;

/// Longest piece of memory that the kernel registers as one fixed buffer, bytes.
pub(super) const FIXED_BUFFER_BYTES_MAX: usize = 1 << 30;
/// Fixed buffers one ring registers (the kernel's limit is 16384).
pub(super) const FIXED_BUFFERS_MAX: usize = 16_384;

/// Connections the kernel holds for us before we accept them.
pub(super) const LISTEN_BACKLOG: i32 = 1024;
const BACKLOG_MAX: usize = LISTEN_BACKLOG.unsigned_abs() as usize;
/// Sockets that are accepted before anyone asks for them: with so many unclaimed, the kernel is told
/// to leave the next ones in its backlog. Enough for the connections that come while a core does
/// something else; each costs a descriptor and no memory of ours.
pub(super) const ARRIVALS_MAX: usize = 128;
/// Pause before the next accept after the process ran out of file descriptors or the kernel out of
/// memory: both pass only when someone else gives something back.
pub(super) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of one send from which on its memory is lent and not copied: below, to pin the pages and to be told costs more
/// than a copy.
pub(super) const LEND_BYTES_MIN: usize = 16 << 10;
/// Part of a core's buffers for requests that may be lent to sockets whose sends are done, as a divisor. Those who
/// wait for memory wait for peers only as far as this.
pub(super) const LENT_SHARE: usize = 8;
/// Memory that one connection may have lent, bytes: as much as Linux lets the send buffer of a socket grow, so that it
/// is the peer's window that ends first.
pub(super) const LENT_PER_CONNECTION_BYTES_MAX: usize = 4 << 20;
/// Sends of one core whose memory is lent.
pub(super) const LOANS_MAX: usize = 4096;
/// Longest time that memory is lent to a peer that takes nothing: then the kernel gives the connection up.
pub(super) const LENT_MAX: Duration = Duration::from_secs(60);

/// Commands that one core has in flight through a ring of NVMe passthrough. The completion ring has as many
/// entries, so it cannot overflow.
pub(super) const COMMANDS_MAX: usize = 4096;
const _: () = assert!(COMMANDS_MAX.is_power_of_two());
/// Entries of the submission ring of such a ring.
pub(super) const COMMAND_SUBMISSION_ENTRIES: u32 = 256;
/// Commands in flight of one transfer that is larger than the controller takes at once.
pub(super) const PIECES_IN_FLIGHT_MAX: usize = 8;
/// How long a core that has nothing else to do looks for polled completions without a pause: longer than a
/// read from flash takes.
pub(super) const POLL_SPIN: Duration = Duration::from_micros(150);
/// Then each pause is this part of the time that nothing has come: transfers take at most a quarter longer.
pub(super) const POLL_PAUSE_PART: f64 = 4.0;
/// The longest pause.
pub(super) const POLL_PAUSE_MAX: Duration = Duration::from_millis(1);

/// Bytes of zeros one write of `prepare` carries.
pub(super) const PREPARE_STEP_BYTES: usize = 1 << 20;
