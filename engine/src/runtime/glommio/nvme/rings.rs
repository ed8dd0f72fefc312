//! A core's rings for commands: one for namespaces that are polled, one for those that interrupt.

use super::super::open::OpenDevice;
use super::super::timer::Clock;
use super::namespace::Namespace;
use super::ring::NvmeRing;
use super::way::Way;
use crate::buffer::Region;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

/// Those that this core needs; none when no device is driven by passthrough.
#[derive(Default)]
pub(in super::super) struct Rings {
    polled: Option<Rc<NvmeRing>>,
    interrupting: Option<Rc<NvmeRing>>,
    /// With which error number the memory was not registered, if so.
    unregistered: Option<i32>,
}

impl Rings {
    /// Rings of the calling thread for those of `devices` that are driven by passthrough.
    pub(in super::super) fn new(
        devices: &[OpenDevice],
        regions: &[Region],
        core_ring: RawFd,
        clock: Clock,
    ) -> Result<Self, i32> {
        let mut rings = Self::default();
        for polled in [true, false] {
            let files: Vec<RawFd> = of_kind(devices, polled).map(Namespace::raw_fd).collect();
            if files.is_empty() {
                continue;
            }
            let mut ring = NvmeRing::new(&files, polled, clock)?;
            let refused = ring.register_regions(regions, core_ring).err();
            rings.unregistered = rings.unregistered.or(refused);
            let place = if polled { &mut rings.polled } else { &mut rings.interrupting };
            *place = Some(Rc::new(ring));
        }
        Ok(rings)
    }

    /// Whether the memory is registered with all of them.
    pub(in super::super) fn registration(&self) -> Result<(), i32> {
        self.unregistered.map_or(Ok(()), Err)
    }

    /// How `devices[index]` is reached, when it is driven by passthrough.
    pub(in super::super) fn way(&self, devices: &[OpenDevice], index: usize) -> Option<Way> {
        let device = devices.get(index)?;
        let namespace = device.namespace()?;
        let ring = if namespace.polled { &self.polled } else { &self.interrupting };
        // The place among those of its kind, as the files were registered.
        let file = of_kind(&devices[..index], namespace.polled).count();
        Some(Way::new(ring.as_ref()?, u32::try_from(file).ok()?, namespace))
    }

    /// What the core's own ring has to watch.
    pub(in super::super) fn event(&self) -> Option<RawFd> {
        self.interrupting.as_ref()?.event()
    }

    /// See [`NvmeRing::turn`].
    pub(in super::super) fn turn(&self) {
        for ring in self.all() {
            ring.turn();
        }
    }

    /// See [`NvmeRing::patience`].
    pub(in super::super) fn patience(&self) -> Option<Duration> {
        self.polled.as_ref()?.patience()
    }

    /// True when nothing is under way.
    pub(in super::super) fn is_drained(&self) -> bool {
        self.in_flight() == 0
    }

    /// Commands under way.
    pub(in super::super) fn in_flight(&self) -> usize {
        self.all().map(NvmeRing::in_flight).sum()
    }

    /// Ends all; only after everything is drained.
    pub(in super::super) fn close(&self) {
        self.all().for_each(NvmeRing::close);
    }

    fn all(&self) -> impl Iterator<Item = &NvmeRing> {
        self.polled.iter().chain(&self.interrupting).map(Rc::as_ref)
    }
}

fn of_kind(devices: &[OpenDevice], polled: bool) -> impl Iterator<Item = &Namespace> {
    devices.iter().filter_map(OpenDevice::namespace).filter(move |namespace| namespace.polled == polled)
}
