//! Writing the superblock: two waves, so that at any moment two copies of one version stand.
//!
//! First copies 0 and 2 (one in each region of the device), durable; then 1 and 3. A power cut in
//! the first wave leaves 1 and 3 agreeing on the old version, one in the second leaves 0 and 2
//! agreeing on the new one.

use super::view::PoolView;
use crate::error::EngineError;
use crate::runtime::{Device, DeviceError, Durability, Runtime};
use ashlar_disk_format::constants::SUPERBLOCK_SLOT_BYTES;
use ashlar_disk_format::superblock::{COMMIT_WAVES, Superblock};
use ashlar_disk_format::units::DeviceIndex;
use futures_util::future::join_all;

/// Writes `superblock` to every device in service; the devices that refused.
///
/// # Errors
/// [`EngineError::ReadOnly`] when fewer than m+1 devices took it.
pub(crate) async fn write_superblocks<R: Runtime>(
    view: &PoolView<R>,
    superblock: &Superblock,
) -> Result<Vec<(DeviceIndex, DeviceError)>, EngineError> {
    let writes = superblock.devices.iter().map(|entry| async move {
        let own = Superblock { device: entry.id, ..superblock.clone() };
        let written = write_waves(view, entry.index, &own).await?;
        Some(written.map_err(|error| (entry.index, error)))
    });
    let results: Vec<_> = join_all(writes).await.into_iter().flatten().collect();
    let present = results.iter().filter(|result| result.is_ok()).count();
    let needed = usize::from(superblock.shape.m) + 1;
    if present < needed {
        return Err(EngineError::ReadOnly { present, needed });
    }
    Ok(results.into_iter().filter_map(Result::err).collect())
}

async fn write_waves<R: Runtime>(
    view: &PoolView<R>,
    index: DeviceIndex,
    own: &Superblock,
) -> Option<Result<(), DeviceError>> {
    let (_, device, layout) = view.in_service().find(|(found, _, _)| *found == index)?;
    let (device, layout) = (device.clone(), *layout);
    let slot = SUPERBLOCK_SLOT_BYTES;
    for wave in COMMIT_WAVES {
        let writes = wave.map(|copy| {
            let device = device.clone();
            async move {
                let Ok(mut buffer) = view.runtime.reserve().take(slot).await else {
                    return Err(DeviceError::Fenced);
                };
                buffer.bytes_mut()[..slot].copy_from_slice(&own.encode(copy));
                let offset = layout.superblock_offset(copy);
                device.write(offset, buffer, slot, Durability::Durable).await.0
            }
        });
        for result in join_all(writes).await {
            if let Err(error) = result {
                return Some(Err(error));
            }
        }
    }
    Some(Ok(()))
}
