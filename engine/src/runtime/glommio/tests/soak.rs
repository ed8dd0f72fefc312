//! Everything at once for a while: looks for a core that sleeps although it has work.

use super::super::super::contract::{CoreId, Device as _, Durability, Runtime as _, TaskQueue};
use super::super::{GlommioRuntime, OpenDevice};
use super::{EXCLUSIVE, Folder, config, run, yield_now};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const READERS: u64 = 16;
const BLOCKS: u64 = 256;

/// Reads, writes, sleeps and yields until the end, in one task.
async fn work(runtime: GlommioRuntime, number: u64, done: Rc<Cell<u64>>, duration: Duration) {
    let end = runtime.now().after(duration);
    let device = runtime.devices().remove(0);
    let mut random = [0; 4];
    let mut buffer = runtime.arena().take(4096).await.unwrap();
    while runtime.now() < end {
        runtime.fill_random(&mut random);
        let offset = (u64::from(random[0]) % BLOCKS) << 12;
        let result;
        match random[1] % 8 {
            0 => runtime.sleep(Duration::from_micros(u64::from(random[2]) * 8)).await,
            1 => yield_now().await,
            2 => runtime.notify(CoreId(u16::from(random[2]) % runtime.cores())),
            3 if number == 0 => {
                (result, buffer) = device.write(offset, buffer, 4096, Durability::Durable).await;
                result.unwrap();
            }
            _ => {
                (result, buffer) = device.read(offset, buffer, 4096).await;
                result.unwrap();
            }
        }
        done.set(done.get() + 1);
    }
}

fn soak(duration: Duration) {
    let folder = Folder::new(&format!("soak-{}", duration.as_millis()));
    let device = OpenDevice::open(&folder.device("d0", BLOCKS << 12), EXCLUSIVE).unwrap();
    run(config(2, vec![device]), move |runtime| async move {
        runtime.devices().remove(0).prepare(0, BLOCKS << 12).await.unwrap();
        let done = Rc::new(Cell::new(0));
        for number in 0..READERS {
            let queue = if number % 4 == 3 { TaskQueue::Background } else { TaskQueue::Foreground };
            let task = work(runtime.clone(), number, Rc::clone(&done), duration);
            runtime.spawn(queue, task);
        }
        let end = runtime.now().after(duration);
        let mut worst = Duration::ZERO;
        while runtime.now() < end {
            let before = runtime.now();
            runtime.sleep(Duration::from_millis(1)).await;
            worst = worst.max(runtime.now().since(before));
        }
        runtime.sleep(Duration::from_millis(300)).await;
        assert_eq!(runtime.task_panics(), (0, None));
        assert!(done.get() > 100, "{} steps", done.get());
        // A core that slept wrongly would come back only at its longest sleep, and the scheduler's
        // wrong park would last its heartbeat; other jobs on the machine may cost as much, so this
        // only bounds what a lost wake-up would make endless.
        assert!(worst < Duration::from_secs(5), "a timer came {worst:?} late");
        println!("{} steps, worst timer {worst:?}, {:?}", done.get(), runtime.ring_counters());
    });
}

#[test]
fn everything_at_once_for_a_moment() {
    soak(Duration::from_secs(1));
}

#[test]
#[ignore = "takes a minute"]
fn everything_at_once_for_a_minute() {
    soak(Duration::from_secs(60));
}
