//! The start after a kill, beside the start after an end in order.

use super::context::{Context, ON_LOOPS, load, subject};
use crate::process::Server;
use crate::record::Measurement;
use crate::usage::{Moved, cpu};
use ashlar_tools::clock;
use ashlar_tools::command::load::{Limit, LoadOptions, Operation, measure};
use std::error::Error;
use std::time::Duration;

const BYTES: u64 = 4 << 10;

pub(super) fn run(context: &mut Context) -> Result<(), Box<dyn Error>> {
    for round in 0..context.settings.rounds {
        let pool = context.pool()?;
        let (server, _) = pool.serve()?;
        let ours = subject(ON_LOOPS, &pool.url(), server.pid());
        let options = context.options(&ours, Operation::Put, BYTES);
        let before_kill = context.settings.duration;
        std::thread::scope(|scope| {
            let endless = Limit::Duration(before_kill * 2);
            let writing = LoadOptions { limit: endless, server_pid: None, ..options };
            // It must fail: its server is gone.
            let load = scope.spawn(|| measure(writing).is_err());
            clock::pause(before_kill);
            server.kill();
            let _failed = load.join();
        });
        let (server, took) = context.pool()?.serve()?;
        tell(context, "start after kill -9", round, &server, took)?;
        let ours = subject(ON_LOOPS, &context.pool()?.url(), server.pid());
        load(context.options(&ours, Operation::Put, BYTES))?;
        server.stop();
        let (server, took) = context.pool()?.serve()?;
        tell(context, "start after an end in order", round, &server, took)?;
        server.stop();
    }
    Ok(())
}

fn tell(
    context: &mut Context,
    case: &str,
    round: u32,
    server: &Server,
    took: Duration,
) -> Result<(), Box<dyn Error>> {
    let read_bytes = Moved::by_process(server.pid())?.read_bytes;
    let mut measured = Measurement::new("recovery", ON_LOOPS, case)
        .with("milliseconds_to_first_answer", took.as_secs_f64() * 1e3)
        .with("cpu_milliseconds", cpu(server.pid())?.as_secs_f64() * 1e3)
        .with("read_bytes", read_bytes as f64)
        .with("read_mib", read_bytes as f64 / f64::from(1 << 20));
    measured.round = round;
    let shown = [
        ("milliseconds_to_first_answer", "ms to the first answer"),
        ("cpu_milliseconds", "ms CPU"),
        ("read_mib", "MiB read"),
    ];
    context.tell(measured, &shown)?;
    Ok(())
}
