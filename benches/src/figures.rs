//! The tables of the latest run of all scenarios and of the latest comparison with other servers, as Markdown: like the
//! plots always the same for the same results, so that documents hold what was measured and nothing else.

use crate::compare::{Case, Cell, Outcome, Subject, heading, rows};
use crate::record::{Measurement, Record, Run};
use crate::spread::Spread;
use ashlar_tools::client::Credentials;
use ashlar_tools::output::format_size;

/// Scenarios that are not operations in turns: which figures are shown, and what they are called.
const TABLES: [(&str, &[(&str, &str)]); 11] = [
    ("cold", &[("cpu_us_per_operation", "CPU µs/op"), ("per_second", "op/s"), ("p99_us", "p99 µs")]),
    (
        "throughput",
        &[
            ("megabytes_per_second", "MB/s"),
            ("device_ceiling_megabytes_per_second", "devices, MB/s"),
            ("cpu_ceiling_megabytes_per_second", "CPU, MB/s"),
            ("share_of_ceiling", "of the lower"),
        ],
    ),
    (
        "degraded",
        &[("cpu_us_per_operation", "CPU µs/op"), ("megabytes_per_second", "MB/s"), ("p99_us", "p99 µs")],
    ),
    (
        "stream",
        &[
            ("megabytes_per_second", "MB/s"),
            ("md5_megabytes_per_second", "MD5, MB/s"),
            ("cpu_s_per_gigabyte", "CPU s/GB"),
        ],
    ),
    (
        "space",
        &[
            ("device_bytes_per_byte", "bytes to devices per byte"),
            ("device_writes_per_operation", "device writes per object"),
        ],
    ),
    ("fairness", &[("p50_us", "p50 µs"), ("p99_us", "p99 µs"), ("per_second", "op/s")]),
    (
        "recovery",
        &[
            ("milliseconds_to_first_answer", "ms to the first answer"),
            ("cpu_milliseconds", "CPU ms"),
            ("read_mib", "MiB read"),
        ],
    ),
    (
        "rebuild",
        &[
            ("rebuilt_megabytes", "MB rebuilt"),
            ("megabytes_per_second", "MB/s"),
            ("cpu_s_per_gigabyte", "CPU s/GB"),
            ("per_second", "op/s"),
            ("p99_us", "p99 µs"),
        ],
    ),
    (
        "memory",
        &[("start_mib", "MiB at the start"), ("after_load_mib", "after the load"), ("most_mib", "at most")],
    ),
    ("idle", &[("cpu_us_per_second", "CPU µs per second"), ("cpu_percent", "% of a core")]),
    (
        "cleaning",
        &[
            ("megabytes_per_second", "MB/s"),
            ("p99_us", "p99 µs"),
            ("cpu_s_per_gigabyte", "CPU s/GB"),
            ("device_bytes_per_byte", "bytes to devices per byte"),
            ("failures", "failures"),
        ],
    ),
];

/// All tables. Empty when there are no results.
#[must_use]
pub fn tables(records: &[Record]) -> String {
    let mut text = String::from(
        "# Figures\n\nMade by `cargo xtask plots` from [benches/results](../../benches/results).\n",
    );
    text.push_str("Medians of the rounds, in brackets their range. See [benchmarks.md](../benchmarks.md).\n");
    for program in ["scenarios", "peers"] {
        let runs = records.iter().filter_map(|record| match record {
            Record::Run(run) if run.program == program => Some(run),
            Record::Run(_) | Record::Measurement(_) => None,
        });
        let mut runs: Vec<&Run> = runs.collect();
        runs.sort_by(|a, b| b.date.cmp(&a.date));
        // The latest that measured an operation: a scenario that was run alone takes no table from the others.
        for run in runs {
            let measured = of_run(records, run);
            if operations(&measured).is_empty() {
                continue;
            }
            one_run(&mut text, run, &measured);
            break;
        }
    }
    text
}

fn of_run<'a>(records: &'a [Record], run: &Run) -> Vec<&'a Measurement> {
    let of_it = records.iter().filter_map(|record| match record {
        Record::Measurement(measured) if measured.run == run.id => Some(measured),
        Record::Measurement(_) | Record::Run(_) => None,
    });
    of_it.collect()
}

fn one_run(text: &mut String, run: &Run, measured: &[&Measurement]) {
    let machine = &run.machine;
    text.push_str(&format!(
        "\n## {}, {}\n\nCommit {}. {} CPUs {} ({}), {:.0} GiB, Linux {}, load average {} at the start.{}{}\n",
        run.program,
        run.date,
        run.commit,
        machine.cpus,
        machine.cpu,
        machine.instruction_sets.join(", "),
        machine.memory_bytes as f64 / 1_073_741_824.0,
        machine.kernel,
        machine.load_average,
        if run.note.is_empty() { "" } else { " " },
        run.note,
    ));
    for storage in &run.storage {
        text.push_str(&format!("\nStorage: {}, {}.\n", storage.path.display(), storage.what));
    }
    let cells = operations(measured);
    let baseline = measured.first().map_or("", |first| &first.subject);
    text.push_str(&format!("\n### Operations\n\n{}\n", heading(baseline)));
    for cell in cells {
        for row in operation_rows(cell, measured) {
            text.push_str(&row);
            text.push('\n');
        }
    }
    for (scenario, columns) in TABLES {
        let of_it: Vec<_> = measured.iter().copied().filter(|m| m.scenario == scenario).collect();
        if !of_it.is_empty() {
            text.push_str(&format!("\n### {scenario}\n\n"));
            scenario_table(text, &of_it, columns);
        }
    }
}

/// The operations that were measured in turns, in the order in which they first came.
fn operations(measured: &[&Measurement]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for measurement in measured.iter().filter(|measurement| is_operation(measurement)) {
        let case = Case::ALL.into_iter().find(|case| case.name() == measurement.case);
        if let (Some(case), Some(bytes)) = (case, measurement.bytes)
            && !cells.contains(&Cell { case, bytes })
        {
            cells.push(Cell { case, bytes });
        }
    }
    cells
}

fn is_operation(measured: &Measurement) -> bool {
    TABLES.iter().all(|(scenario, _)| measured.scenario != *scenario)
}

fn operation_rows(cell: Cell, measured: &[&Measurement]) -> Vec<String> {
    let of_cell: Vec<_> = measured
        .iter()
        .filter(|m| is_operation(m) && m.case == cell.case.name() && m.bytes == Some(cell.bytes))
        .collect();
    let mut subjects: Vec<Subject> = Vec::new();
    for measurement in &of_cell {
        if !subjects.iter().any(|subject| subject.name == measurement.subject) {
            subjects.push(Subject {
                name: measurement.subject.clone(),
                url: String::new(),
                pid: None,
                credentials: Credentials { access_key: String::new(), secret_key: String::new() },
                region: String::new(),
                ca: None,
            });
        }
    }
    let rounds = |subject: &Subject| {
        of_cell.iter().filter(|m| m.subject == subject.name).map(|m| (**m).clone()).collect()
    };
    let outcome = Outcome { measured: subjects.iter().map(rounds).collect(), faults: Vec::new() };
    rows(cell, &subjects, &outcome)
}

fn scenario_table(text: &mut String, measured: &[&Measurement], columns: &[(&str, &str)]) {
    let names: Vec<_> = columns.iter().map(|(_, name)| *name).collect();
    text.push_str(&format!("| server | what | size | {} |\n", names.join(" | ")));
    text.push_str(&format!("|---|---|---|{}\n", "---|".repeat(columns.len())));
    let mut told = Vec::new();
    for first in measured {
        let row = (&first.subject, &first.case, first.bytes);
        if told.contains(&row) {
            continue;
        }
        told.push(row);
        let same = || measured.iter().filter(|m| (&m.subject, &m.case, m.bytes) == row);
        let figures = columns.iter().map(|(name, _)| {
            let spread = Spread::of(same().map(|m| m.value(name)));
            spread.map_or_else(|| "-".to_owned(), |spread| spread.to_string())
        });
        let figures: Vec<_> = figures.collect();
        let size = first.bytes.map_or_else(|| "-".to_owned(), format_size);
        text.push_str(&format!(
            "| {} | {} | {size} | {} |\n",
            first.subject,
            first.case,
            figures.join(" | ")
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::parse;

    const LINES: &str = r#"
{"record":"run","id":"a","program":"scenarios","date":"2026-11-22T01:00:00Z","commit":"abc","machine":{"cpu":"X","cpus":2,"instruction_sets":["avx2"],"kernel":"6","memory_bytes":1073741824,"load_average":0.5},"storage":[{"path":"/d","what":"file"}],"note":"quiet"}
{"record":"measurement","run":"a","scenario":"get","subject":"static","case":"get","bytes":4096,"connections":16,"round":0,"load_average":0.5,"values":{"cpu_us_per_operation":10.0}}
{"record":"measurement","run":"a","scenario":"get","subject":"ours","case":"get","bytes":4096,"connections":16,"round":0,"load_average":0.5,"values":{"cpu_us_per_operation":15.0}}
{"record":"measurement","run":"a","scenario":"degraded","subject":"ours","case":"get","bytes":4096,"connections":16,"round":0,"load_average":0.5,"values":{"cpu_us_per_operation":99.0}}
{"record":"measurement","run":"a","scenario":"degraded","subject":"ours","case":"get","bytes":4096,"connections":16,"round":1,"load_average":0.5,"values":{"cpu_us_per_operation":97.0}}
{"record":"run","id":"b","program":"scenarios","date":"2026-11-23T01:00:00Z","commit":"later","machine":{"cpu":"X","cpus":2,"instruction_sets":[],"kernel":"6","memory_bytes":0,"load_average":0.5},"storage":[],"note":""}
{"record":"measurement","run":"b","scenario":"idle","subject":"ours","case":"idle","bytes":null,"connections":null,"round":0,"load_average":0.5,"values":{"cpu_percent":0.1}}
"#;

    #[test]
    fn tables_are_of_the_latest_run_that_measured_operations() {
        let text = tables(&parse(LINES).unwrap());
        assert!(text.contains("## scenarios, 2026-11-22T01:00:00Z") && !text.contains("later"), "{text}");
        assert!(text.contains("Storage: /d, file.") && text.contains("quiet"), "{text}");
        assert!(
            text.contains("| get | 4KiB | ours | - | - | - | - | 15.0 (15.0–15.0) | - | 1.50 (1.50–1.50) |"),
            "{text}"
        );
        // A plain read of another scenario is none of the operations in turns.
        assert!(text.contains("| ours | get | 4KiB | 98.0 (97.0–99.0) | - | - |"), "{text}");
        assert!(!tables(&[]).contains("##"));
    }
}
