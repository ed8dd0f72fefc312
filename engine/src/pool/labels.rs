//! Writing labels: of a new device, and again where one was found damaged.

use super::identify::Identified;
use super::view::PoolView;
use crate::number::to_usize;
use crate::runtime::{Device, DeviceError, Durability, Runtime};
use ashlar_disk_format::constants::WRITE_UNIT;
use ashlar_disk_format::label::Label;

/// Writes the labels again that were found damaged. A device that refuses shows itself at the next
/// write; a damaged label alone loses nothing, because the superblocks name the device too.
pub(crate) async fn rewrite_labels<R: Runtime>(view: &PoolView<R>, identified: &Identified) {
    for (index, label) in &identified.relabel {
        let Some((_, device, layout)) = view.in_service().find(|(found, _, _)| found == index) else {
            continue;
        };
        for offset in layout.label_offsets() {
            if write_label(&view.runtime, device, offset, label).await.is_ok() {
                view.count_repair();
            }
        }
    }
}

/// Writes one copy of a label.
pub(super) async fn write_label<R: Runtime>(
    runtime: &R,
    device: &impl Device,
    offset: u64,
    label: &Label,
) -> Result<(), DeviceError> {
    let unit = to_usize(u64::from(WRITE_UNIT));
    let Ok(mut buffer) = runtime.reserve().take(unit).await else { return Err(DeviceError::Fenced) };
    buffer.bytes_mut()[..unit].copy_from_slice(&label.encode());
    device.write(offset, buffer, unit, Durability::Durable).await.0
}
