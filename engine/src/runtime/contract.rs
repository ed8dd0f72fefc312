//! The traits between the engine and the machine, and the few values that cross them.
//!
//! Ownership rule of every transfer: the buffer goes in by value and comes back with the result.
//! While the transfer runs the back-end owns it, also when the caller's future is dropped: then
//! the buffer returns to its arena after the device or socket has let go of it.

use crate::buffer::{Arena, Buffer, BufferSlice};
use arrayvec::ArrayVec;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// Index of a core within this process, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CoreId(pub u16);

/// Nanoseconds since the runtime started. Never goes back; says nothing about the date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// This moment and `duration` more; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to this; zero when it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Milliseconds since 1970-01-01 UTC. Data only: it may jump, so nothing is ordered by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(pub u64);

/// Which of a core's task queues a task runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskQueue {
    /// Requests and whatever a request waits for.
    Foreground,
    /// Checkpoints, compaction, cleaning, repair: gets a small share while requests run.
    Background,
}

/// A handle on the core that runs the calling task. Cheap to clone; never leaves its thread.
pub trait Runtime: Clone + 'static {
    /// This core's handle on a storage device.
    type Device: Device;
    /// A listening socket.
    type Listener: Listener<Stream = Self::Stream>;
    /// A connected socket.
    type Stream: Stream;

    /// Which core this is.
    fn core(&self) -> CoreId;
    /// How many cores the process runs on.
    fn cores(&self) -> u16;
    /// Starts a task. A panic in it is caught and reported, ends only that task, and never the core.
    fn spawn(&self, queue: TaskQueue, task: impl Future<Output = ()> + 'static);
    /// Starts a task without which others would wait for ever: a panic in it ends the process, with a
    /// line that says `name`.
    fn spawn_vital(&self, queue: TaskQueue, name: &'static str, task: impl Future<Output = ()> + 'static);
    /// Lets every other runnable task run first, and those that wait for what devices and sockets have done by
    /// then.
    fn turn(&self) -> impl Future<Output = ()>;
    /// Resolves after `duration`.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()>;
    /// Now, monotonic.
    fn now(&self) -> Monotonic;
    /// Now, by the wall clock.
    fn wall(&self) -> WallTime;
    /// Fills `bytes` with randomness fit for identifiers (real: the kernel's generator).
    fn fill_random(&self, bytes: &mut [u8]);
    /// The arena of requests: heads, bodies, reads.
    fn arena(&self) -> &Arena;
    /// The arena kept back for the log, the index and repair, so that requests which fill
    /// [`Runtime::arena`] can still finish.
    fn reserve(&self) -> &Arena;
    /// The devices this process opened, in the order they were named; each has its own info.
    fn devices(&self) -> Vec<Self::Device>;
    /// Tells `core` to look at its mail; may be called from any core for any core.
    fn notify(&self, core: CoreId);
    /// Resolves when this core was notified since the last time it resolved.
    fn notified(&self) -> impl Future<Output = ()>;
    /// Resolves when the operator asked the process to end (SIGTERM, SIGINT).
    fn shutdown(&self) -> impl Future<Output = ()>;
    /// Listens on `address`; every core may listen on the same one.
    ///
    /// # Errors
    /// When the address is taken or not ours.
    fn listen(&self, address: SocketAddr) -> Result<Self::Listener, NetError>;
}

/// When a write counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Taken by the device; a later flush makes it durable.
    Volatile,
    /// On stable media when the write completes: FUA or write and flush where the device's cache
    /// is volatile, a plain write where it is not.
    Durable,
}

/// What the device says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceInfo {
    /// The path it was opened by.
    pub name: String,
    /// Usable bytes.
    pub bytes: u64,
    /// Smallest addressable unit, bytes.
    pub logical_block: u32,
    /// Unit the medium writes without reading first, bytes.
    pub physical_block: u32,
    /// Acknowledged writes may be lost at a power cut unless flushed.
    pub volatile_cache: bool,
    /// Spinning medium.
    pub rotational: bool,
    /// An ordinary file that stands in for a device.
    pub is_file: bool,
}

/// Why a device did not do it. None of these may be answered by trying the same write again and
/// trusting it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceError {
    /// The device answered with an error number.
    Io {
        /// As from the kernel.
        errno: i32,
    },
    /// The controller of an NVMe namespace answered with a status.
    Nvme {
        /// Type of the status (3 bits) and its code (8 bits), as in the NVMe specification.
        status: u16,
    },
    /// Fewer bytes than asked for moved: the device has gone or shrunk.
    Short {
        /// Bytes asked for.
        expected: usize,
        /// Bytes moved.
        found: usize,
    },
    /// Beyond the end of the device.
    OutOfRange {
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        bytes: usize,
    },
    /// The filesystem under a file device is full.
    NoSpace,
    /// The device was taken out of service after an earlier failure.
    Fenced,
    /// It neither did it nor failed for so long that it was given up. It may still happen.
    Late,
}

impl std::fmt::Display for DeviceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io { errno } => write!(f, "device error {errno}"),
            Self::Nvme { status } => write!(f, "NVMe status {status:#x}"),
            Self::Short { expected, found } => write!(f, "moved {found} of {expected} bytes"),
            Self::OutOfRange { offset, bytes } => write!(f, "{bytes} bytes at {offset} are beyond the end"),
            Self::NoSpace => write!(f, "no space left under the file device"),
            Self::Fenced => write!(f, "device was taken out of service"),
            Self::Late => write!(f, "device did not answer"),
        }
    }
}

impl std::error::Error for DeviceError {}

/// One core's way to one storage device. Offsets and lengths are multiples of the write unit
/// (4096 bytes), which every back-end asserts to be a multiple of the logical block.
pub trait Device: Clone + 'static {
    /// What it is.
    fn info(&self) -> &DeviceInfo;

    /// Reads `length` bytes at `offset` into the front of `buffer`.
    fn read(
        &self,
        offset: u64,
        buffer: Buffer,
        length: usize,
    ) -> impl Future<Output = (Result<(), DeviceError>, Buffer)>;

    /// Writes the first `length` bytes of `buffer` at `offset`. After an error any part of the
    /// range may hold old, new or no bytes.
    fn write(
        &self,
        offset: u64,
        buffer: Buffer,
        length: usize,
        durability: Durability,
    ) -> impl Future<Output = (Result<(), DeviceError>, Buffer)>;

    /// Makes every completed write durable. A failure says nothing about which were lost.
    fn flush(&self) -> impl Future<Output = Result<(), DeviceError>>;

    /// Allocates the range and writes zeros once, durably, so that later durable writes into it
    /// change no filesystem metadata. Does nothing on a block device.
    fn prepare(&self, offset: u64, length: u64) -> impl Future<Output = Result<(), DeviceError>>;

    /// Tells the device that the range holds nothing of value any more. Advice: errors are ignored.
    fn discard(&self, offset: u64, length: u64) -> impl Future<Output = ()>;
}

/// Why a socket did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetError {
    /// The deadline passed first.
    TimedOut,
    /// The peer closed or reset the connection.
    Closed,
    /// Any other error number.
    Io {
        /// As from the kernel.
        errno: i32,
    },
}

impl std::fmt::Display for NetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimedOut => write!(f, "timed out"),
            Self::Closed => write!(f, "connection closed"),
            Self::Io { errno } => write!(f, "socket error {errno}"),
        }
    }
}

impl std::error::Error for NetError {}

/// Most pieces one send takes.
pub const SEND_PARTS_MAX: usize = 16;

/// The pieces of one send, in order.
pub type SendParts = ArrayVec<BufferSlice, SEND_PARTS_MAX>;

/// A listening socket of one core. Connections may be accepted before anyone asks for them, up to a bound; those that
/// nobody has asked for when it is dropped are closed.
pub trait Listener: 'static {
    /// What it accepts.
    type Stream: Stream;
    /// The next connection, in the order in which they came. The back-end sets TCP_NODELAY.
    fn accept(&self) -> impl Future<Output = Result<Self::Stream, NetError>>;
    /// The address it is bound to.
    fn address(&self) -> SocketAddr;
}

/// A connected socket. Dropping it closes it.
pub trait Stream: 'static {
    /// Waits until [`Stream::receive`] would not have to: bytes are there, or an end, or an error. Holds no
    /// buffer meanwhile.
    fn readable(&self, deadline: Monotonic) -> impl Future<Output = Result<(), NetError>>;

    /// Receives at least one byte into `range` of `buffer`; 0 bytes means that the peer will send
    /// no more.
    fn receive(
        &self,
        buffer: Buffer,
        range: Range<usize>,
        deadline: Monotonic,
    ) -> impl Future<Output = (Result<usize, NetError>, Buffer)> {
        self.receive_unless(buffer, range, deadline, pending())
    }

    /// As [`Stream::receive`], and gives up as at the deadline when `cut` resolves. Bytes that were there by then are
    /// received all the same: unlike by dropping a receive, none are lost by this.
    fn receive_unless(
        &self,
        buffer: Buffer,
        range: Range<usize>,
        deadline: Monotonic,
        cut: impl Future<Output = ()>,
    ) -> impl Future<Output = (Result<usize, NetError>, Buffer)>;

    /// Sends every byte of every part. When it resolves, the slices have been let go of.
    fn send(&self, parts: SendParts, deadline: Monotonic) -> impl Future<Output = Result<(), NetError>>;

    /// Sends every byte of every part, perhaps without a copy: then it resolves when the socket has taken the bytes, and
    /// the slices are held until the peer has them, also after the stream was dropped. So memory that was sent is not
    /// free again at once. How much is held in this way is bounded: at most an eighth of [`Runtime::arena`] over all
    /// connections, and no peer that takes nothing holds it for longer than a minute.
    fn lend(&self, parts: SendParts, deadline: Monotonic) -> impl Future<Output = Result<(), NetError>>;

    /// The other end.
    fn peer(&self) -> SocketAddr;
}
