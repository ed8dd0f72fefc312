//! Writes, reads, mixes and listings: a server on loop devices and one on files, in turns with the yardstick.

use super::Scenario;
use super::context::{Context, ON_FILES, ON_LOOPS, STATIC, subject};
use crate::compare::{Case, Cell, heading, measure_cell, rows};
use crate::pool::Kind;
use std::error::Error;

/// Small objects, of which listings and mixes are made.
const SMALL_BYTES: u64 = 4 << 10;

pub(super) fn run(scenario: Scenario, context: &mut Context) -> Result<(), Box<dyn Error>> {
    let (yardstick, static_subject) = context.static_responder()?;
    let pool = context.pool()?;
    let (on_loops, _) = pool.serve()?;
    let mut subjects = vec![static_subject, subject(ON_LOOPS, &pool.url(), on_loops.pid())];
    let files = match context.settings.files {
        true => {
            let pool = context.make_pool(&Kind::Files, "files", context.settings.device_bytes, 1)?;
            let (server, _) = pool.serve()?;
            subjects.push(subject(ON_FILES, &pool.url(), server.pid()));
            // In the order in which they must end.
            Some((server, pool))
        }
        false => None,
    };
    println!("{}", heading(STATIC));
    let pace = context.pace();
    for cell in cells(scenario, &context.settings.sizes) {
        let outcome = measure_cell(cell, &subjects, &pace, scenario.name(), &mut context.recorder)?;
        rows(cell, &subjects, &outcome).iter().for_each(|row| println!("{row}"));
        outcome.faults.iter().for_each(|fault| println!("failed: {fault}"));
    }
    if let Some((server, pool)) = files {
        server.stop();
        drop(pool);
    }
    on_loops.stop();
    yardstick.stop();
    Ok(())
}

fn cells(scenario: Scenario, sizes: &[u64]) -> Vec<Cell> {
    let of = |cases: &[Case]| -> Vec<Cell> {
        Cell::matrix(sizes).into_iter().filter(|cell| cases.contains(&cell.case)).collect()
    };
    let small = |case| vec![Cell { case, bytes: SMALL_BYTES }];
    match scenario {
        Scenario::Put => of(&[Case::PutSigned, Case::PutUnsigned]),
        Scenario::Get => of(&[Case::Get]),
        Scenario::List => small(Case::List),
        Scenario::Mixed => small(Case::Mixed),
        Scenario::Cold
        | Scenario::Throughput
        | Scenario::Degraded
        | Scenario::Stream
        | Scenario::Space
        | Scenario::Fairness
        | Scenario::Recovery
        | Scenario::Rebuild
        | Scenario::Memory
        | Scenario::Idle
        | Scenario::Cleaning => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_load_measures_its_own_cases() {
        let sizes = [4096, 4 << 20];
        assert_eq!(cells(Scenario::Put, &sizes).len(), 4);
        assert_eq!(cells(Scenario::Get, &sizes).len(), 2);
        assert_eq!(cells(Scenario::List, &sizes), [Cell { case: Case::List, bytes: SMALL_BYTES }]);
        assert_eq!(cells(Scenario::Mixed, &[]).len(), 1);
    }
}
