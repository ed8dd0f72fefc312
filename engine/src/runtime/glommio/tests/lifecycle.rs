//! Starting and ending: launches, panics, shutdown.

use super::super::super::contract::{CoreId, Listener as _, Runtime as _, TaskQueue};
use super::super::{LaunchConfig, LaunchError, affinity_cpus, cpu_facts, launch};
use super::{config, run, yield_now};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn a_signal_reaches_every_core() {
    let mut config = config(2, Vec::new());
    config.signals = true;
    run(config, |runtime| async move {
        if runtime.core() == CoreId(0) {
            runtime.sleep(Duration::from_millis(10)).await;
            // To this thread only, which blocks it: other tests of this process must live.
            // SAFETY: raising a signal needs nothing of memory.
            let raised = unsafe { libc::raise(libc::SIGTERM) };
            assert_eq!(raised, 0);
        }
        runtime.shutdown().await;
        runtime.shutdown().await;
    });
}

#[test]
fn a_request_to_end_reaches_every_core() {
    run(config(2, Vec::new()), |runtime| async move {
        if runtime.core() == CoreId(1) {
            runtime.request_shutdown();
        }
        runtime.shutdown().await;
    });
}

#[test]
fn what_tasks_hold_is_dropped_at_the_end() {
    static DROPPED: AtomicU64 = AtomicU64::new(0);
    struct Held;
    impl Drop for Held {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    run(config(2, Vec::new()), |runtime| async move {
        let listener = runtime.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        runtime.spawn(TaskQueue::Foreground, async move {
            let _held = Held;
            let _stream = listener.accept().await;
        });
        let own = runtime.clone();
        runtime.spawn(TaskQueue::Background, async move {
            let _held = Held;
            own.sleep(Duration::from_secs(3600)).await;
        });
        runtime.spawn(TaskQueue::Foreground, async move {
            let _held = Held;
            loop {
                yield_now().await;
            }
        });
        runtime.sleep(Duration::from_millis(5)).await;
    });
    assert_eq!(DROPPED.load(Ordering::SeqCst), 6);
}

#[test]
fn a_core_serves_until_the_last_main_has_returned() {
    let asked = Arc::new(AtomicU64::new(0));
    launch(config(2, Vec::new()), move |runtime| {
        let asked = Arc::clone(&asked);
        async move {
            if runtime.core() == CoreId(0) {
                let own = runtime.clone();
                runtime.spawn(TaskQueue::Foreground, async move {
                    own.notified().await;
                    asked.store(1, Ordering::Release);
                    own.notify(CoreId(1));
                });
                return;
            }
            runtime.sleep(Duration::from_millis(20)).await;
            runtime.notify(CoreId(0));
            while asked.load(Ordering::Acquire) == 0 {
                runtime.notified().await;
            }
        }
    })
    .unwrap();
}

#[test]
fn many_launches_leave_no_descriptors_behind() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    // Other tests open descriptors meanwhile, so the bound is loose: far below one per launch of
    // what a ring, a socket and a device take. glommio itself leaks one per executor.
    let before = count();
    for _round in 0..50 {
        run(config(1, Vec::new()), |runtime| async move {
            let listener = runtime.listen("127.0.0.1:0".parse().unwrap()).unwrap();
            runtime.spawn(TaskQueue::Foreground, async move {
                let _stream = listener.accept().await;
            });
            yield_now().await;
        });
    }
    let leaked = count().saturating_sub(before);
    assert!(leaked < 50 + 100, "{leaked} descriptors leaked in 50 launches");
}

#[test]
fn an_impossible_launch_is_refused_whole() {
    let ran = Arc::new(AtomicU64::new(0));
    let counted = |ran: &Arc<AtomicU64>| {
        let ran = Arc::clone(ran);
        move |_runtime| {
            ran.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        }
    };
    let none = LaunchConfig { cpus: Vec::new(), ..config(1, Vec::new()) };
    assert_eq!(launch(none, counted(&ran)), Err(LaunchError::Cpus { found: 0 }));
    let missing = LaunchConfig { cpus: vec![affinity_cpus()[0], 100_000], ..config(1, Vec::new()) };
    assert_eq!(launch(missing, counted(&ran)), Err(LaunchError::Executor { cpu: 100_000 }));
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn the_machine_is_described() {
    assert!(cpu_facts().allowed > 0);
}

/// Runs in a process of its own, see below.
#[test]
#[ignore = "ends the process it runs in"]
fn a_panic_of_a_main() {
    let ended = launch(config(2, Vec::new()), |runtime| async move {
        assert_ne!(runtime.core(), CoreId(1), "on purpose");
        std::future::pending::<()>().await;
    });
    unreachable!("the process went on: {ended:?}");
}

/// Likewise.
#[test]
#[ignore = "ends the process it runs in"]
fn a_panic_of_a_vital_task() {
    let ended = launch(config(1, Vec::new()), |runtime| async move {
        runtime.spawn_vital(TaskQueue::Background, "the example", async { panic!("on purpose") });
        std::future::pending::<()>().await;
    });
    unreachable!("the process went on: {ended:?}");
}

#[test]
fn a_panic_of_what_others_rely_on_ends_the_process_with_a_line() {
    assert_aborts("a_panic_of_a_main", "the main task");
    assert_aborts("a_panic_of_a_vital_task", "the example");
}

fn assert_aborts(test: &str, name: &str) {
    let this = std::env::current_exe().unwrap();
    let test = &*format!("runtime::glommio::tests::lifecycle::{test}");
    let ended = std::process::Command::new(this)
        .args(["--ignored", "--exact", "--nocapture", test])
        .output()
        .unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(libc::SIGABRT));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains(&format!("ashlar: {name} of a core panicked: ")), "{said}");
    assert!(said.contains("on purpose"), "{said}");
}
