//! Small requests beside large ones. The static responder is asked the same: where its small requests suffer too, it
//! is the generator's core or the sockets that they wait for, and not the server.

use super::context::{Context, ON_LOOPS, load, subject};
use crate::compare::Subject;
use crate::record::Measurement;
use crate::spread::Spread;
use ashlar_tools::clock;
use ashlar_tools::command::load::{Limit, LoadError, LoadOptions, Operation, upload};
use rustix::process::setpriority_process;
use std::error::Error;
use std::time::Duration;

const SMALL_BYTES: u64 = 4 << 10;
const LARGE_BYTES: u64 = 1 << 30;
const LARGE_CONNECTIONS: usize = 8;

/// The large reads have begun by then, and go on so much longer than the small ones.
const LEAD: Duration = Duration::from_millis(500);

/// The generator's threads of large reads stand back behind those of small ones, or it would measure itself.
const NICE: i32 = 10;

pub(super) fn run(context: &mut Context) -> Result<(), Box<dyn Error>> {
    let (yardstick, static_subject) = context.static_responder()?;
    let pool = context.pool()?;
    let (server, _) = pool.serve()?;
    let ours = subject(ON_LOOPS, &pool.url(), server.pid());
    let subjects = [ours, static_subject];
    for subject in &subjects {
        upload(context.options(subject, Operation::Get, SMALL_BYTES))?;
        upload(LoadOptions {
            objects: 1,
            connections: 1,
            ..context.options(subject, Operation::Get, LARGE_BYTES)
        })?;
    }
    let mut ratios = vec![Vec::new(); subjects.len()];
    for round in 0..context.settings.rounds {
        for (subject, ratios) in subjects.iter().zip(&mut ratios) {
            ratios.push(one_round(context, subject, round)?);
        }
    }
    for (subject, ratios) in subjects.iter().zip(ratios) {
        if let Some(spread) = Spread::of(ratios) {
            println!("{}: p99 beside ÷ alone (at most 5): {spread}", subject.name);
        }
    }
    server.stop();
    yardstick.stop();
    Ok(())
}

fn one_round(context: &mut Context, subject: &Subject, round: u32) -> Result<f64, Box<dyn Error>> {
    let small = context.options(subject, Operation::Get, SMALL_BYTES);
    let large = LoadOptions {
        objects: 1,
        connections: LARGE_CONNECTIONS,
        limit: Limit::Duration(context.settings.duration + LEAD + LEAD),
        server_pid: None,
        ..context.options(subject, Operation::Get, LARGE_BYTES)
    };
    let alone = load(small.clone())?;
    let (beside, large) = std::thread::scope(|scope| {
        let large = scope.spawn(|| -> Result<_, LoadError> {
            // Of this thread only, and of those that it starts. Without it the measurement is worse, not wrong.
            let _refused = setpriority_process(Some(rustix::thread::gettid()), NICE);
            load(large)
        });
        clock::pause(LEAD);
        let beside = load(small);
        (beside, large.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (beside, large) = (beside?, large?);
    let shown = [("p50_us", "µs p50"), ("p99_us", "µs p99"), ("per_second", "op/s")];
    let mut measure = |case: &str, report| {
        let mut measured = Measurement::new("fairness", &subject.name, case).with_load(report);
        measured.round = round;
        context.tell(measured, &shown)
    };
    let alone = measure("get alone", &alone)?;
    let beside = measure("get beside eight of 1 GiB", &beside)?;
    measure("the eight", &large)?;
    Ok(beside.value("p99_us") / alone.value("p99_us"))
}
