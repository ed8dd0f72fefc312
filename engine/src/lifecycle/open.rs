//! Core 0's way from the devices to a pool that every core has opened.

use super::coordinator::Coordinator;
use super::node::Node;
use super::start::{StartError, StartReport};
use super::young::learn_groups;
use crate::error::EngineError;
use crate::log::{LogStart, replay};
use crate::pool::{
    Identified, OwnedDevice, OwnerGroup, PoolFacts, PoolOwner, PoolView, identify, rewrite_labels,
    write_superblocks,
};
use crate::rows::read_blob;
use crate::runtime::{CoreId, Device, Runtime};
use crate::shard::{BucketStep, Reply, Request, Router, ShardImport, ShardSeed, vshard_of_key};
use ashlar_disk_format::checkpoint::{BucketCounter, Checkpoint, GroupStatus};
use ashlar_disk_format::extent::Extent;
use ashlar_disk_format::group::GroupKind;
use ashlar_disk_format::layout::DeviceLayout;
use ashlar_disk_format::record::{Batch, Record};
use ashlar_disk_format::superblock::{DeviceState, Superblock};
use ashlar_disk_format::units::{Epoch, GroupId, RowOffset};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Batches of the log that go to a core in one call.
const REPLAY_BATCHES: usize = 256;

/// Opens the pool and leads every core to where it can serve.
pub(super) async fn open_pool<R: Runtime>(node: &Rc<Node<R>>) -> Result<StartReport, StartError> {
    let runtime = node.runtime.clone();
    let identified = identify(&runtime, node.options.device_patience).await.map_err(StartError::Identify)?;
    let facts = next_facts(&identified);
    let seed = ShardSeed {
        facts,
        devices: identified.present.clone(),
        runs: Vec::new(),
        imports: Vec::new(),
        counters: Vec::new(),
        next_run: 1,
    };
    let view = node.view(&seed)?;
    rewrite_labels(&view, &identified).await;
    let was_clean = identified.superblock.clean;
    let owner = PoolOwner::new(
        facts,
        raised(&identified, facts.epoch),
        &owned_devices(&runtime, &identified, facts.segment_bytes),
        runtime.cores(),
    );
    let superblock = owner.next_superblock(|_| ());
    let refused = write_superblocks(&view, &superblock).await?;
    for (device, _) in &refused {
        view.fence(*device);
        owner.fail(*device);
    }
    let loaded = load_checkpoint(&view, &identified.superblock).await?;
    let (checkpoint, extents) = loaded.map_or((None, Vec::new()), |(c, e)| (Some(c), e));
    restore_table(&view, &owner, checkpoint.as_ref());
    restore_checkpoint_groups(&owner, &identified.superblock, &extents);
    let coordinator = Coordinator::new(node, Rc::clone(&view), owner, extents.clone());
    *node.coordinator.borrow_mut() = Some(Rc::clone(&coordinator));
    // First the groups of all logs: a record may refer to a group that another core's log announces, and
    // a core that takes over another's runs may open groups, in segments that must really be free.
    let checkpoint = checkpoint.as_ref();
    let logs = learn_groups(&view, &coordinator.owner, &identified.superblock, checkpoint).await?;
    seed_cores(node, &seed, checkpoint).await?;
    let base = node.shard()?;
    base.view.ledger.settle_pages(&extents, true);
    hold_restored(&coordinator, &base.view);
    let replayed = replay_logs(node, &coordinator, &view, logs.starts).await?;
    coordinator.owner.settle();
    coordinator.everywhere(|| Request::Start).await?;
    coordinator.owner.leave_logs();
    coordinator.checkpoint(false).await?;
    install_buckets(&coordinator).await?;
    coordinator.run();
    Ok(StartReport {
        pool_name: identified.name.clone(),
        shape: facts.shape,
        devices: identified.reports.clone(),
        missing: identified.missing.clone(),
        was_clean,
        rows_replayed: replayed.0,
        rows_lost: replayed.1 + logs.unexplained,
        epoch: facts.epoch.0,
    })
}

fn next_facts(identified: &Identified) -> PoolFacts {
    let superblock = &identified.superblock;
    PoolFacts {
        pool: superblock.pool,
        epoch: Epoch(superblock.epoch.0 + 1),
        shape: superblock.shape,
        segment_bytes: superblock.segment_bytes,
        missing: u16::try_from(identified.missing.len()).unwrap_or(u16::MAX),
    }
}

/// The superblock of this mount: next epoch, devices as they are now.
fn raised(identified: &Identified, epoch: Epoch) -> Superblock {
    let mut superblock = identified.superblock.clone();
    superblock.epoch = epoch;
    superblock.clean = false;
    for entry in &mut superblock.devices {
        let absent = !identified.present.iter().any(|(index, _)| *index == entry.index);
        entry.state = match (&entry.state, absent) {
            (DeviceState::Absent { since }, true) => DeviceState::Absent { since: *since },
            (DeviceState::Vacant { since }, true) => DeviceState::Vacant { since: *since },
            (DeviceState::Present | DeviceState::Failed { .. }, true) => DeviceState::Absent { since: epoch },
            (_, false) => DeviceState::Present,
        };
    }
    superblock
}

fn owned_devices<R: Runtime>(runtime: &R, identified: &Identified, segment_bytes: u64) -> Vec<OwnedDevice> {
    let devices = runtime.devices();
    identified
        .superblock
        .devices
        .iter()
        .map(|entry| {
            let position = identified.present.iter().find(|(index, _)| *index == entry.index);
            let device = position.and_then(|(_, position)| devices.get(*position));
            let bytes = device.map_or(entry.bytes, |device| device.info().bytes);
            let segments = DeviceLayout::new(bytes, segment_bytes).map_or(0, |layout| layout.segment_count());
            OwnedDevice {
                index: entry.index,
                segments,
                always_prepared: device.is_some_and(|device| !device.info().is_file),
                in_service: device.is_some(),
            }
        })
        .collect()
}

/// The checkpoint that the superblock names, and every extent it lies in.
pub(super) async fn load_checkpoint<R: Runtime>(
    view: &Rc<PoolView<R>>,
    superblock: &Superblock,
) -> Result<Option<(Checkpoint, Vec<Extent>)>, EngineError> {
    if superblock.checkpoint.is_empty() {
        return Ok(None);
    }
    for descriptor in &superblock.checkpoint_groups {
        view.learn(Rc::new(descriptor.clone()));
    }
    let list = read_blob(view, &superblock.checkpoint).await?;
    let blob = Extent::list_decode(&list)?;
    let bytes = read_blob(view, &blob).await?;
    let checkpoint = Checkpoint::decode(&bytes)?;
    let mut extents = blob;
    extents.extend(superblock.checkpoint.iter().cloned());
    Ok(Some((checkpoint, extents)))
}

fn restore_table<R: Runtime>(view: &PoolView<R>, owner: &PoolOwner, checkpoint: Option<&Checkpoint>) {
    let Some(checkpoint) = checkpoint else { return };
    owner.restore_prepared(&checkpoint.prepared);
    for state in &checkpoint.groups {
        view.learn(Rc::new(state.descriptor.clone()));
        owner.restore(OwnerGroup {
            descriptor: state.descriptor.clone(),
            open: state.status == GroupStatus::Open,
            tail: state.tail,
            sealed_at: 0,
            resumable: false,
            live: state.live_bytes,
            packed: None,
        });
    }
}

/// The checkpoint was written behind the tails that it names, perhaps into groups that are younger than
/// its table: their segments are taken until the next checkpoint is durable.
fn restore_checkpoint_groups(owner: &PoolOwner, superblock: &Superblock, extents: &[Extent]) {
    let known: BTreeSet<_> = owner.groups().iter().map(|group| group.descriptor.generation).collect();
    for descriptor in superblock.checkpoint_groups.iter().filter(|one| !known.contains(&one.generation)) {
        owner.restore(OwnerGroup::opened(descriptor.clone()));
    }
    for extent in extents {
        owner.resume(extent.group, extent.row.after(extent.height));
    }
}

/// What the checkpoint counted as live, on core 0's ledger. The index counts its own pages.
fn hold_restored<R: Runtime>(coordinator: &Coordinator<R>, view: &PoolView<R>) {
    let side = view.ledger.side();
    for group in coordinator.owner.groups() {
        if group.descriptor.kind != GroupKind::Index {
            view.ledger.add(side, group.descriptor.group, crate::number::to_i64(group.live));
        }
    }
}

/// Every core opens the runs that may hold keys of its virtual shards.
async fn seed_cores<R: Runtime>(
    node: &Rc<Node<R>>,
    seed: &ShardSeed,
    checkpoint: Option<&Checkpoint>,
) -> Result<(), EngineError> {
    let cores = node.runtime.cores();
    let router = Router::new(cores);
    for core in 0..cores {
        let (first, last) = router.range(CoreId(core));
        let mut own = seed.clone();
        if let Some(checkpoint) = checkpoint {
            own.next_run = checkpoint.next_run;
            for shard in &checkpoint.shards {
                if (shard.first_vshard, shard.last_vshard) == (first, last) {
                    own.runs.clone_from(&shard.runs);
                } else if shard.first_vshard <= last && first <= shard.last_vshard {
                    // Runs of several earlier cores cannot be put in one order of age: each core's are
                    // read for its own virtual shards only.
                    own.imports.push(ShardImport {
                        first: shard.first_vshard.max(first),
                        last: shard.last_vshard.min(last),
                        runs: shard.runs.clone(),
                    });
                }
                if shard.core.rem_euclid(cores) == core {
                    add_counters(&mut own.counters, &shard.counters);
                }
            }
        }
        node.ask(CoreId(core), Request::Seed(Box::new(own))).await?;
    }
    Ok(())
}

fn add_counters(sum: &mut Vec<BucketCounter>, more: &[BucketCounter]) {
    for counter in more {
        match sum.iter_mut().find(|known| known.bucket == counter.bucket) {
            Some(known) => {
                known.objects += counter.objects;
                known.bytes += counter.bytes;
                known.uploads += counter.uploads;
            }
            None => sum.push(counter.clone()),
        }
    }
}

/// Batches on their way to their owners, and what the log says of groups.
struct Distributor<'a, R: Runtime> {
    node: &'a Rc<Node<R>>,
    router: Router,
    waiting: BTreeMap<CoreId, Vec<Batch>>,
    ends: BTreeMap<GroupId, RowOffset>,
    unreadable: u64,
}

impl<R: Runtime> Distributor<'_, R> {
    async fn take_batch(&mut self, record: Record) -> Result<(), EngineError> {
        let Record::Batch(batch) = record else { return Ok(()) };
        let Some(first) = batch.mutations.first() else { return Ok(()) };
        let core = self.router.core(vshard_of_key(&first.key));
        let waiting = self.waiting.entry(core).or_default();
        waiting.push(batch);
        if waiting.len() >= REPLAY_BATCHES {
            self.flush(core).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, core: CoreId) -> Result<(), EngineError> {
        let batches = self.waiting.remove(&core).unwrap_or_default();
        if batches.is_empty() {
            return Ok(());
        }
        if let Reply::Ends { ends, unreadable } = self.node.ask(core, Request::Replay(batches)).await? {
            self.unreadable += unreadable;
            for (group, end) in ends {
                let known = self.ends.entry(group).or_insert(end);
                *known = (*known).max(end);
            }
        }
        Ok(())
    }
}

/// Reads every log behind the checkpoint; rows read, and acknowledged rows lost.
async fn replay_logs<R: Runtime>(
    node: &Rc<Node<R>>,
    coordinator: &Rc<Coordinator<R>>,
    view: &Rc<PoolView<R>>,
    starts: Vec<LogStart>,
) -> Result<(u64, u64), EngineError> {
    let mut rows = 0;
    let mut lost = 0;
    let mut logs_end: Vec<GroupId> = Vec::new();
    let mut router = Distributor {
        node,
        router: Router::new(node.runtime.cores()),
        waiting: BTreeMap::new(),
        ends: BTreeMap::new(),
        unreadable: 0,
    };
    for start in starts {
        let read = replay(view, start, &mut async |record| router.take_batch(record).await).await?;
        rows += read.rows;
        lost += read.rows_lost;
        logs_end.push(read.end.0);
        coordinator.owner.resume(read.end.0, read.end.1);
    }
    for core in 0..node.runtime.cores() {
        router.flush(CoreId(core)).await?;
    }
    for (group, end) in router.ends {
        coordinator.owner.resume(group, end);
    }
    coordinator.owner.seal_logs_except(&logs_end);
    if router.unreadable > 0 {
        // Bodies may lie in rows that nothing readable names: nothing of their kind is written over or
        // taken back in this mount and those after it.
        let side = view.ledger.side();
        for group in coordinator.owner.keep_data_groups() {
            node.shard()?.view.ledger.add(side, group, 1);
        }
    }
    Ok((rows, lost))
}

/// Every core learns every bucket.
async fn install_buckets<R: Runtime>(coordinator: &Rc<Coordinator<R>>) -> Result<(), EngineError> {
    let mut records = Vec::new();
    for reply in coordinator.everywhere(|| Request::Bucket(BucketStep::Collect)).await? {
        if let Reply::Buckets(own) = reply {
            records.extend(own);
        }
    }
    for record in records {
        coordinator.everywhere(|| Request::Bucket(BucketStep::Install(record.clone()))).await?;
    }
    coordinator.everywhere(|| Request::Bucket(BucketStep::DropOrphans)).await?;
    Ok(())
}
