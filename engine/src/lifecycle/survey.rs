//! A look at a pool from outside: nothing is written, nothing is opened for service.

use super::open::load_checkpoint;
use super::start::StartError;
use crate::error::EngineError;
use crate::pool::{Identified, PoolFacts, PoolView, data_bytes, identify};
use crate::runtime::{Device, Runtime};
use ashlar_disk_format::checkpoint::Checkpoint;
use ashlar_disk_format::layout::DeviceLayout;
use ashlar_disk_format::superblock::DeviceEntry;
use ashlar_disk_format::units::DeviceIndex;
use std::rc::Rc;

/// What a pool's devices say about it.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Superblock and devices.
    pub identified: Identified,
    /// Groups by the number of their members that are missing: index 0 counts the whole ones.
    pub redundancy: Vec<u64>,
    /// Bytes of data that the pool holds when full, at its own code.
    pub capacity_bytes: u64,
    /// Live bytes by the last checkpoint.
    pub live_bytes: u64,
    /// Objects by the last checkpoint.
    pub objects: u64,
    /// Groups by the last checkpoint.
    pub groups: u64,
    /// Groups that there is room for in all, at the pool's own code.
    pub groups_max: u64,
    /// Bytes of data that the groups could hold.
    pub group_bytes: u64,
}

/// Reads labels, superblocks and the last checkpoint of the runtime's devices.
///
/// # Errors
/// [`StartError`]: no pool, or a checkpoint that cannot be read.
pub async fn survey<R: Runtime>(runtime: &R) -> Result<Survey, StartError> {
    let identified = identify(runtime, None).await.map_err(StartError::Identify)?;
    let superblock = &identified.superblock;
    let facts = PoolFacts {
        pool: superblock.pool,
        epoch: superblock.epoch,
        shape: superblock.shape,
        segment_bytes: superblock.segment_bytes,
        missing: u16::try_from(identified.missing.len()).unwrap_or(u16::MAX),
    };
    let devices = runtime.devices();
    let mut slots = Vec::new();
    for &(index, position) in &identified.present {
        let Some(device) = devices.get(position) else { continue };
        let Ok(layout) = DeviceLayout::new(device.info().bytes, facts.segment_bytes) else { continue };
        slots.push((index, device.clone(), layout));
    }
    let view = Rc::new(PoolView::new(runtime.clone(), facts, slots));
    let checkpoint = learn_from_checkpoint(&view, &identified).await?;
    let segments: u64 = superblock
        .devices
        .iter()
        .filter(|entry| is_member(entry, &identified))
        .filter_map(|entry| DeviceLayout::new(entry.bytes, facts.segment_bytes).ok())
        .map(|layout| u64::from(layout.segment_count()))
        .sum();
    let groups = segments.div_euclid(facts.shape.members() as u64);
    let missing = identified.missing.clone();
    Ok(Survey {
        capacity_bytes: data_bytes(groups, facts.shape, facts.segment_bytes),
        redundancy: redundancy(checkpoint.as_ref(), &missing, usize::from(facts.shape.m)),
        live_bytes: checkpoint.iter().flat_map(|c| &c.groups).map(|group| group.live_bytes).sum(),
        objects: objects(checkpoint.as_ref()),
        group_bytes: checkpoint
            .iter()
            .flat_map(|c| &c.groups)
            .map(|group| data_bytes(1, group.descriptor.shape, facts.segment_bytes))
            .sum(),
        groups: checkpoint.map_or(0, |checkpoint| checkpoint.groups.len() as u64),
        groups_max: groups,
        identified,
    })
}

/// A vacant device that is not there is none any more.
fn is_member(entry: &DeviceEntry, identified: &Identified) -> bool {
    let is_there = identified.present.iter().any(|(index, _)| *index == entry.index);
    is_there || identified.missing.contains(&entry.index)
}

async fn learn_from_checkpoint<R: Runtime>(
    view: &Rc<PoolView<R>>,
    identified: &Identified,
) -> Result<Option<Checkpoint>, EngineError> {
    Ok(load_checkpoint(view, &identified.superblock).await?.map(|(checkpoint, _)| checkpoint))
}

fn redundancy(checkpoint: Option<&Checkpoint>, missing: &[DeviceIndex], m: usize) -> Vec<u64> {
    let mut counts = vec![0; m + 1];
    for group in checkpoint.iter().flat_map(|checkpoint| &checkpoint.groups) {
        let lost = group.descriptor.members.iter().filter(|member| missing.contains(&member.device)).count();
        if counts.len() <= lost {
            counts.resize(lost + 1, 0);
        }
        counts[lost] += 1;
    }
    counts
}

fn objects(checkpoint: Option<&Checkpoint>) -> u64 {
    let counters = checkpoint.iter().flat_map(|checkpoint| &checkpoint.shards).flat_map(|s| &s.counters);
    let sum: i64 = counters.map(|counter| counter.objects).sum();
    u64::try_from(sum).unwrap_or(0)
}
