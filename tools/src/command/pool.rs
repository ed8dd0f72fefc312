//! `ashlar pool create`, `ashlar pool add` and `ashlar pool status`.

use crate::command::devices::{DeviceProblem, check_empty, open_present, open_to_read};
use crate::output::{Table, format_size};
use ashlar_disk_format::code::CodeShape;
use ashlar_disk_format::superblock::{DeviceState, ScrubProgress};
use ashlar_engine::pool::{CreateOptions, DeviceStanding, add_devices, create_pool};
use ashlar_engine::runtime::native::{
    LaunchConfig, LaunchError, OpenDevice, Passthrough, affinity_cpus, create_file_device, launch,
};
use ashlar_engine::{Survey, survey};
use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc;

const ARENA_BYTES: usize = 16 << 20;

/// A checked `pool create`.
#[derive(Debug, Clone)]
pub struct PoolCreateOptions {
    /// A name for people.
    pub name: String,
    /// Data and parity chunks.
    pub shape: CodeShape,
    /// The devices, in order.
    pub devices: Vec<PathBuf>,
    /// Devices whose contents may be lost.
    pub wipe: Vec<PathBuf>,
    /// Make missing devices as files of this size, bytes.
    pub file_bytes: Option<u64>,
    /// Size of a segment, if not the default, bytes.
    pub segment_bytes: Option<u64>,
}

/// A checked `pool add`.
#[derive(Debug, Clone)]
pub struct PoolAddOptions {
    /// The pool's devices.
    pub devices: Vec<PathBuf>,
    /// Those that are to be taken in.
    pub new: Vec<PathBuf>,
    /// Of these, those whose contents may be lost.
    pub wipe: Vec<PathBuf>,
    /// Make missing new devices as files of this size, bytes.
    pub file_bytes: Option<u64>,
}

/// Why a pool was not made or not recognised.
#[derive(Debug)]
pub enum PoolError {
    /// A device.
    Device(DeviceProblem),
    /// The runtime.
    Launch(LaunchError),
    /// The engine's words.
    Engine(String),
}

impl fmt::Display for PoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(problem) => write!(f, "{problem}"),
            Self::Launch(error) => write!(f, "cannot start: {error}"),
            Self::Engine(message) => write!(f, "{message}"),
        }
    }
}

impl std::error::Error for PoolError {}

/// Makes a pool; refuses devices that hold anything unless they are named to be wiped.
///
/// # Errors
/// [`PoolError`] in one line that says what to do.
pub fn create(options: &PoolCreateOptions) -> Result<(), PoolError> {
    let devices = open_empty(&options.devices, options.file_bytes, &options.wipe)?;
    let wanted = CreateOptions {
        name: options.name.clone(),
        shape: options.shape,
        segment_bytes: options.segment_bytes,
    };
    let made = on_one_core(devices, move |runtime| {
        let wanted = wanted.clone();
        async move { create_pool(&runtime, &wanted).await.map_err(|error| error.to_string()) }
    })?;
    let pool = made.map_err(PoolError::Engine)?;
    println!(
        "made pool {} ({pool}), code {}, {} devices",
        options.name,
        options.shape,
        options.devices.len()
    );
    Ok(())
}

/// Takes devices into a pool; refuses those that hold anything unless they are named to be wiped.
///
/// # Errors
/// [`PoolError`] in one line that says what to do.
pub fn add(options: &PoolAddOptions) -> Result<(), PoolError> {
    if let Some(path) = options.new.iter().find(|path| options.devices.contains(path)) {
        return Err(PoolError::Device(DeviceProblem::Twice { path: path.clone() }));
    }
    let (mut devices, absent) =
        open_present(&options.devices, Passthrough::Off).map_err(PoolError::Device)?;
    for problem in &absent {
        eprintln!("ashlar: warning: {problem}");
    }
    let first = devices.len();
    devices.extend(open_empty(&options.new, options.file_bytes, &options.wipe)?);
    let new: Vec<usize> = (first..devices.len()).collect();
    let added = on_one_core(devices, move |runtime| {
        let new = new.clone();
        async move { add_devices(&runtime, &new).await.map_err(|error| error.to_string()) }
    })?;
    for (index, path) in added.map_err(PoolError::Engine)?.iter().zip(&options.new) {
        println!("{} is device {index} of the pool now", path.display());
    }
    println!("name the new devices in the server's configuration, too, and start it");
    Ok(())
}

/// Opens devices that hold nothing, or may be wiped; those that do not exist are made first.
fn open_empty(
    paths: &[PathBuf],
    file_bytes: Option<u64>,
    wipe: &[PathBuf],
) -> Result<Vec<OpenDevice>, PoolError> {
    for (position, path) in paths.iter().enumerate() {
        if paths[..position].contains(path) {
            return Err(PoolError::Device(DeviceProblem::Twice { path: path.clone() }));
        }
        if let Some(bytes) = file_bytes
            && !path.exists()
        {
            create_file_device(path, bytes, false)
                .map_err(|error| PoolError::Device(DeviceProblem::Open { path: path.clone(), error }))?;
        }
        check_empty(path, wipe).map_err(PoolError::Device)?;
    }
    let (devices, absent) = open_present(paths, Passthrough::Off).map_err(PoolError::Device)?;
    match absent.into_iter().next() {
        Some(problem) => Err(PoolError::Device(problem)),
        None => Ok(devices),
    }
}

/// Prints what a pool's devices say about it. Writes nothing; a server may be running.
///
/// # Errors
/// [`PoolError`] when no pool is recognised.
pub fn status(paths: &[PathBuf]) -> Result<(), PoolError> {
    let (devices, absent) = open_to_read(paths);
    for problem in &absent {
        eprintln!("ashlar: warning: {problem}");
    }
    let names: Vec<String> = devices.iter().map(|device| device.info().name.clone()).collect();
    let found =
        on_one_core(
            devices,
            |runtime| async move { survey(&runtime).await.map_err(|error| error.to_string()) },
        )?;
    print_survey(&found.map_err(PoolError::Engine)?, &names);
    Ok(())
}

fn print_survey(survey: &Survey, names: &[String]) {
    let superblock = &survey.identified.superblock;
    println!("pool         {} ({})", survey.identified.name, superblock.pool);
    println!("code         {} (survives the loss of any {})", superblock.shape, superblock.shape.m);
    println!("closed       {}", if superblock.clean { "in order" } else { "not yet, or not in order" });
    println!("objects      {} (by the last checkpoint)", survey.objects);
    println!("live data    {} of {}", format_size(survey.live_bytes), format_size(survey.capacity_bytes));
    let live = (survey.live_bytes.saturating_mul(100)).div_euclid(survey.group_bytes.max(1));
    println!("groups       {} of {} taken, {live}% of their bytes live", survey.groups, survey.groups_max);
    for (lost, groups) in survey.redundancy.iter().enumerate().filter(|(_, groups)| **groups > 0) {
        println!(
            "redundancy   {groups} groups with {lost} of {} members missing",
            superblock.shape.members()
        );
    }
    println!("scrubbed     {}", scrubbed(superblock.scrub));
    let mut table = Table::new(&["device", "size", "state", "path"]);
    for entry in &superblock.devices {
        let position = survey.identified.present.iter().find(|(index, _)| *index == entry.index);
        let path = position.and_then(|(_, position)| names.get(*position)).cloned();
        let report = path
            .as_ref()
            .and_then(|path| survey.identified.reports.iter().find(|report| report.name == *path));
        let state = match report.map(|report| report.standing) {
            None if matches!(entry.state, DeviceState::Vacant { .. }) => "gone; nothing is on it".to_owned(),
            None => "MISSING".to_owned(),
            Some(DeviceStanding::Damaged(_)) => "damaged label or superblock".to_owned(),
            Some(DeviceStanding::Member(_) | DeviceStanding::Foreign(_) | DeviceStanding::Unknown) => {
                match entry.state {
                    DeviceState::Present => "in service".to_owned(),
                    DeviceState::Absent { since } => format!("back; was absent from mount {since} on"),
                    DeviceState::Failed { since } => format!("failed a write in mount {since}"),
                    DeviceState::Vacant { since } => format!("empty since mount {since}"),
                }
            }
        };
        table.row(vec![
            entry.index.to_string(),
            format_size(entry.bytes),
            state,
            path.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    println!("{table}");
    for report in &survey.identified.reports {
        match report.standing {
            DeviceStanding::Foreign(pool) => println!("{}: belongs to pool {pool}", report.name),
            DeviceStanding::Unknown => println!("{}: not recognised", report.name),
            DeviceStanding::Member(_) | DeviceStanding::Damaged(_) => {}
        }
    }
}

/// When everything was last read to find what rots.
fn scrubbed(progress: ScrubProgress) -> String {
    if progress.began_ms == 0 || progress.next == ScrubProgress::NONE_YET {
        return "not yet".to_owned();
    }
    let began =
        i64::try_from(progress.began_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let began = began.map_or_else(
        || format!("{} ms after 1970", progress.began_ms),
        |began| began.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    );
    let state = if progress.next == ScrubProgress::OVER { "over" } else { "under way" };
    format!("last pass began {began}, {state}")
}

/// Runs one task on one core over these devices.
fn on_one_core<T, F>(
    devices: Vec<OpenDevice>,
    task: impl Fn(ashlar_engine::runtime::native::NativeRuntime) -> F + Clone + Send + 'static,
) -> Result<T, PoolError>
where
    T: Send + 'static,
    F: Future<Output = T> + 'static,
{
    let config = LaunchConfig {
        cpus: affinity_cpus().into_iter().take(1).collect(),
        arena_bytes: ARENA_BYTES,
        reserve_bytes: ARENA_BYTES,
        devices,
        signals: false,
        on_task_panic: None,
    };
    let (to, from) = mpsc::channel();
    launch(config, move |runtime| {
        let (to, task) = (to.clone(), task.clone());
        async move {
            // Nobody listens only when the launching thread is gone, and then nobody minds.
            let _sent = to.send(task(runtime).await);
        }
    })
    .map_err(PoolError::Launch)?;
    from.recv().map_err(|_gone| PoolError::Engine("the core ended without an answer".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_disk_format::units::Generation;

    #[test]
    fn the_last_pass_of_scrubbing_is_told() {
        assert_eq!(scrubbed(ScrubProgress::default()), "not yet");
        let over = ScrubProgress { began_ms: 1_795_168_807_500, next: ScrubProgress::OVER };
        assert_eq!(scrubbed(over), "last pass began 2026-11-20 10:00:07 UTC, over");
        assert_eq!(scrubbed(ScrubProgress { next: ScrubProgress::NONE_YET, ..over }), "not yet");
        let left = ScrubProgress { next: Generation(7), ..over };
        assert_eq!(scrubbed(left), "last pass began 2026-11-20 10:00:07 UTC, under way");
        let odd = ScrubProgress { began_ms: u64::MAX, ..over };
        assert_eq!(scrubbed(odd), "last pass began 18446744073709551615 ms after 1970, over");
    }
}
