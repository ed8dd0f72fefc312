//! What a server does for a load, and when it is full, crippled, killed or left alone: scenarios with names, each of
//! which prints a table and appends its figures to the results.
//!
//! All of them put their load on through `ashlar load`, on a pool that they make and servers that they start and end.

mod alone;
mod cleaning;
mod context;
mod fairness;
mod loads;
mod reading;
mod rebuild;
mod recovery;
mod space;
mod stream;

pub use context::{Context, Settings};

use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Writes of every size, bodies signed and not.
    Put,
    /// Reads of every size.
    Get,
    /// Reads, writes, deletes and listings.
    Mixed,
    /// Pages of a long listing.
    List,
    /// Reads that no cache has met.
    Cold,
    /// Rates of large objects beside what devices and CPU would give.
    Throughput,
    /// Reads with a device taken away, beside plain ones.
    Degraded,
    /// One PUT of 1 GiB, and sixteen at once.
    Stream,
    /// Bytes and writes to devices for what was stored.
    Space,
    /// Small reads beside large ones.
    Fairness,
    /// A device that is lost for good.
    Rebuild,
    /// The start after a kill.
    Recovery,
    /// Memory before, in and after a load.
    Memory,
    /// CPU time of a server that nobody asks anything.
    Idle,
    /// Overwrites in a pool that is 80 % full.
    Cleaning,
}

impl Scenario {
    /// All of them, in the order in which they run.
    pub const ALL: [Self; 15] = [
        Self::Put,
        Self::Get,
        Self::Mixed,
        Self::List,
        Self::Cold,
        Self::Throughput,
        Self::Degraded,
        Self::Stream,
        Self::Space,
        Self::Fairness,
        Self::Recovery,
        Self::Rebuild,
        Self::Memory,
        Self::Idle,
        Self::Cleaning,
    ];

    /// The word typed for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
            Self::Mixed => "mixed",
            Self::List => "list",
            Self::Cold => "cold",
            Self::Throughput => "throughput",
            Self::Degraded => "degraded",
            Self::Stream => "stream",
            Self::Space => "space",
            Self::Fairness => "fairness",
            Self::Recovery => "recovery",
            Self::Rebuild => "rebuild",
            Self::Memory => "memory",
            Self::Idle => "idle",
            Self::Cleaning => "cleaning",
        }
    }

    /// What it shows.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Put => "PUT of each size, signed and unsigned, in turns with the static responder",
            Self::Get => "GET of each size, in turns with the static responder",
            Self::Mixed => "70 % GET, 20 % PUT, 5 % DELETE, 5 % listings, in turns with the static responder",
            Self::List => "pages of 1000 keys out of 20,000, in turns with the static responder",
            Self::Cold => "GETs right after a start, each object once: all from devices",
            Self::Throughput => "4 MiB from and to devices, beside the devices' own rate and the CPU's",
            Self::Degraded => "GETs with one device away, in turns with all devices there",
            Self::Stream => "one PUT of 1 GiB beside the rate of MD5, then sixteen streams",
            Self::Space => "bytes and writes to devices per byte and object stored",
            Self::Fairness => "latency of 4 KiB GETs alone and beside eight GETs of 1 GiB",
            Self::Recovery => "kill -9 under small PUTs, then time, bytes and CPU of the start",
            Self::Rebuild => "a new device takes what a lost one had: MB/s, CPU, and GETs beside it",
            Self::Memory => "resident memory at the start, after a load, and at most",
            Self::Idle => "CPU time of an idle server",
            Self::Cleaning => "overwrites at random in a pool that is 80 % full",
        }
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// When a server or a pool fails, or the results cannot be written.
    pub fn run(self, context: &mut Context) -> Result<(), Box<dyn Error>> {
        // What one has stored must not decide what the next one finds.
        context.drop_pool();
        match self {
            Self::Put | Self::Get | Self::Mixed | Self::List => loads::run(self, context),
            Self::Cold => reading::cold(context),
            Self::Degraded => reading::degraded(context),
            Self::Throughput => stream::throughput(context),
            Self::Stream => stream::run(context),
            Self::Space => space::run(context),
            Self::Fairness => fairness::run(context),
            Self::Recovery => recovery::run(context),
            Self::Rebuild => rebuild::run(context),
            Self::Memory => alone::memory(context),
            Self::Idle => alone::idle(context),
            Self::Cleaning => cleaning::run(context),
        }
    }
}

/// What is wrong with a scenario's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownScenario(String);

impl fmt::Display for UnknownScenario {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Scenario::ALL.map(Scenario::name).join(", ");
        write!(formatter, "no scenario is called {:?}: there are {names}", self.0)
    }
}

impl Error for UnknownScenario {}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(text: &str) -> Result<Self, UnknownScenario> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.name() == text.trim());
        found.ok_or_else(|| UnknownScenario(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_found_by_its_name_and_nothing_else_is() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
            assert!(!scenario.about().is_empty());
        }
        let error = "idel".parse::<Scenario>().unwrap_err().to_string();
        assert!(error.contains("\"idel\"") && error.contains("idle, cleaning"), "{error}");
    }
}
