//! The real back-end on the machine it is built on: real threads, files and sockets.

mod disk;
mod lending;
mod lifecycle;
mod network;
mod scheduling;
mod soak;

use super::super::contract::{Runtime as _, TaskQueue};
use super::{GlommioRuntime, LaunchConfig, OpenDevice, OpenOptions, affinity_cpus, launch};
use crate::sync::answer;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;

/// `count` CPUs; the same ones again where the machine has fewer.
fn cpus(count: usize) -> Vec<usize> {
    affinity_cpus().into_iter().cycle().take(count).collect()
}

fn config(cores: usize, devices: Vec<OpenDevice>) -> LaunchConfig {
    LaunchConfig {
        cpus: cpus(cores),
        arena_bytes: 8 << 20,
        reserve_bytes: 2 << 20,
        devices,
        signals: false,
        on_task_panic: None,
    }
}

/// Lets every other task run that can.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Runs `body` on every core, and fails the test when it panicked on one. (In a core's main a
/// panic would end the test process.)
fn run<M, F>(config: LaunchConfig, body: M)
where
    M: Fn(GlommioRuntime) -> F + Clone + Send + 'static,
    F: Future<Output = ()> + 'static,
{
    let cores = config.cpus.len();
    let passed = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&passed);
    launch(config, move |runtime| {
        let (body, passed) = (body.clone(), Arc::clone(&counted));
        async move {
            let (to, done) = answer();
            let inner = runtime.clone();
            runtime.spawn(TaskQueue::Foreground, async move {
                body(inner).await;
                to.send(());
            });
            if done.await.is_some() {
                passed.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .unwrap();
    assert_eq!(passed.load(Ordering::SeqCst) as usize, cores, "a body panicked");
}

/// A folder of one test's own, removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ashlar-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn device(&self, name: &str, bytes: u64) -> PathBuf {
        let path = self.0.join(name);
        super::create_file_device(&path, bytes, false).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

const EXCLUSIVE: OpenOptions = OpenOptions { read_only: false, exclusive: true };
