//! Plots of results: the same results always give the same bytes, so that a test can tell whether those in `docs`
//! are of the results that are kept.
//!
//! Each plot shows one run: the latest that measured what it shows. Points are medians of the rounds, bars their range.

use crate::record::{Measurement, Record, Run, parse};
use crate::spread::Spread;
use ashlar_tools::output::format_size;
use plotters::prelude::{
    BLACK, Cartesian2d, ChartBuilder, ChartContext, Circle, Color as _, DrawingArea, IntoDrawingArea as _,
    IntoLogRange as _, LineSeries, LogCoord, PathElement, RGBColor, SVGBackend, SeriesLabelPosition, WHITE,
};
use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;

/// A plot that is ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plot {
    /// Name of the file.
    pub name: &'static str,
    /// The document.
    pub svg: String,
}

/// What a plot shows of a run.
#[derive(Debug, Clone, Copy)]
struct Shown {
    name: &'static str,
    title: &'static str,
    /// The run is of this program and has something of these scenarios.
    program: &'static str,
    scenarios: &'static [&'static str],
    cases: &'static [&'static str],
    figures: &'static [Figure],
    across: Across,
}

/// What the horizontal axis is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Across {
    /// Bytes of an object.
    Bytes,
    /// Transfers in flight.
    Depth,
}

/// A figure that is drawn.
#[derive(Debug, Clone, Copy)]
struct Figure {
    name: &'static str,
    /// Put behind the subject's name.
    label: &'static str,
    /// The record's unit times this is the one drawn.
    scale: f64,
}

const SERVED: [&str; 3] = ["get", "put unsigned", "put signed"];
const SCENARIOS: [&str; 2] = ["put", "get"];

const fn figure(name: &'static str, label: &'static str, scale: f64) -> Figure {
    Figure { name, label, scale }
}

const PLOTS: [Shown; 6] = [
    Shown {
        name: "cpu.svg",
        title: "CPU time per operation, µs",
        program: "scenarios",
        scenarios: &SCENARIOS,
        cases: &SERVED,
        figures: &[figure("cpu_us_per_operation", "", 1.0)],
        across: Across::Bytes,
    },
    Shown {
        name: "throughput.svg",
        title: "Throughput, MB/s",
        program: "scenarios",
        scenarios: &SCENARIOS,
        cases: &SERVED,
        figures: &[figure("megabytes_per_second", "", 1.0)],
        across: Across::Bytes,
    },
    Shown {
        name: "latency.svg",
        title: "Latency, ms",
        program: "scenarios",
        scenarios: &SCENARIOS,
        cases: &SERVED,
        figures: &[figure("p50_us", " p50", 1e-3), figure("p99_us", " p99", 1e-3)],
        across: Across::Bytes,
    },
    Shown {
        name: "peers-cpu.svg",
        title: "Servers in turns: CPU time per operation, µs",
        program: "peers",
        scenarios: &["peers"],
        cases: &SERVED,
        figures: &[figure("cpu_us_per_operation", "", 1.0)],
        across: Across::Bytes,
    },
    Shown {
        name: "peers-throughput.svg",
        title: "Servers in turns: operations per second",
        program: "peers",
        scenarios: &["peers"],
        cases: &SERVED,
        figures: &[figure("per_second", "", 1.0)],
        across: Across::Bytes,
    },
    Shown {
        name: "devices.svg",
        title: "What devices give: transfers per second by depth",
        program: "device_ceiling",
        scenarios: &["devices"],
        cases: &["read", "write durable"],
        figures: &[figure("per_second", "", 1.0)],
        across: Across::Depth,
    },
];

/// A line of a panel.
#[derive(Debug, Clone)]
struct Series {
    label: String,
    points: Vec<(f64, Spread)>,
}

const PANEL_WIDTH: u32 = 420;
const HEIGHT: u32 = 400;
/// Lower parts of an axis that would be empty but for a label.
const MARGIN: f64 = 1.4;

/// Told apart also by who sees no red or green (Okabe and Ito, "Color Universal Design").
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 0, 0),
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
];

/// Every record below a folder of results, in the order of the files' names.
///
/// # Errors
///
/// When a file cannot be read or holds a line that is no record.
pub fn read_results(folder: &Path) -> Result<Vec<Record>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    let mut records = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file)?;
        records.extend(parse(&text).map_err(|error| format!("{}: {error}", file.display()))?);
    }
    Ok(records)
}

/// Every plot for which there are results.
///
/// # Errors
///
/// When a plot cannot be drawn.
pub fn draw_all(records: &[Record]) -> Result<Vec<Plot>, Box<dyn Error>> {
    let mut plots = Vec::new();
    for shown in PLOTS {
        let Some(run) = latest(records, shown) else { continue };
        let measured: Vec<&Measurement> = of_run(records, run, shown).collect();
        let panels: Vec<_> = shown
            .cases
            .iter()
            .map(|case| (*case, series(&measured, case, shown)))
            .filter(|(_, series)| !series.is_empty())
            .collect();
        plots.push(Plot { name: shown.name, svg: draw(shown, run, &panels)? });
    }
    Ok(plots)
}

/// The run that a plot shows.
fn latest(records: &[Record], shown: Shown) -> Option<&Run> {
    let runs = records.iter().filter_map(|record| match record {
        Record::Run(run) if run.program == shown.program => Some(run),
        Record::Run(_) | Record::Measurement(_) => None,
    });
    // Dates are all in one form and zone, so they are in the order of their letters.
    runs.filter(|run| of_run(records, run, shown).next().is_some()).max_by(|a, b| a.date.cmp(&b.date))
}

fn of_run<'a>(records: &'a [Record], run: &'a Run, shown: Shown) -> impl Iterator<Item = &'a Measurement> {
    records.iter().filter_map(move |record| match record {
        Record::Measurement(measured)
            if measured.run == run.id
                && shown.scenarios.contains(&measured.scenario.as_str())
                && shown.cases.contains(&measured.case.as_str()) =>
        {
            Some(measured)
        }
        Record::Measurement(_) | Record::Run(_) => None,
    })
}

/// The lines of one panel: of each subject and figure one, with a point for each place across.
fn series(measured: &[&Measurement], case: &str, shown: Shown) -> Vec<Series> {
    let of_case: Vec<_> = measured.iter().filter(|measured| measured.case == case).collect();
    let mut labels = Vec::new();
    let mut all = Vec::new();
    for measured in &of_case {
        for figure in shown.figures {
            let label = label(measured, *figure, shown.across);
            if labels.contains(&label) {
                continue;
            }
            let same: Vec<_> = of_case
                .iter()
                .filter(|other| self::label(other, *figure, shown.across) == label)
                .filter_map(|other| {
                    Some((place(other, shown.across)?, other.value(figure.name) * figure.scale))
                })
                .collect();
            let places: BTreeSet<u64> = same.iter().map(|(place, _)| *place).collect();
            let points = places.into_iter().filter_map(|place| {
                let figures = same.iter().filter(|(other, _)| *other == place).map(|(_, figure)| *figure);
                // What took no time that could be counted has no place on a logarithmic axis.
                let spread = Spread::of(figures.filter(|figure| *figure > 0.0))?;
                Some((place as f64, spread))
            });
            let points: Vec<_> = points.collect();
            if !points.is_empty() {
                all.push(Series { label: label.clone(), points });
            }
            labels.push(label);
        }
    }
    all
}

fn place(measured: &Measurement, across: Across) -> Option<u64> {
    match across {
        Across::Bytes => measured.bytes,
        Across::Depth => measured.connections,
    }
}

fn label(measured: &Measurement, figure: Figure, across: Across) -> String {
    match across {
        Across::Bytes => format!("{}{}", measured.subject, figure.label),
        Across::Depth => format!("{}, {}", measured.subject, format_size(measured.bytes.unwrap_or(0))),
    }
}

fn draw(shown: Shown, run: &Run, panels: &[(&str, Vec<Series>)]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    let count = panels.len().max(1);
    let size = (PANEL_WIDTH * u32::try_from(count)?, HEIGHT);
    {
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        root.fill(&WHITE)?;
        let day = run.date.get(..10).unwrap_or_default();
        let title = format!("{} ({day}, commit {})", shown.title, run.commit);
        let below = root.titled(&title, ("sans-serif", 18))?;
        for (area, (case, series)) in below.split_evenly((1, count)).iter().zip(panels) {
            panel(area, case, series, shown.across)?;
        }
        root.present()?;
    }
    svg.push('\n');
    Ok(svg)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<LogCoord<f64>, LogCoord<f64>>>;

fn panel(area: &Area<'_>, case: &str, series: &[Series], across: Across) -> Result<(), Box<dyn Error>> {
    let points = || series.iter().flat_map(|series| &series.points);
    let low = points().map(|(_, spread)| spread.low).fold(f64::INFINITY, f64::min) / MARGIN;
    // Above all lines there is room for their names.
    let high = points().map(|(_, spread)| spread.high).fold(0.0, f64::max) * MARGIN;
    let room = (high / low).powf(0.1 * series.len() as f64);
    let first = points().map(|(place, _)| *place).fold(f64::INFINITY, f64::min);
    let last = points().map(|(place, _)| *place).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(case, ("sans-serif", 15))
        .margin(8)
        .x_label_area_size(32)
        .y_label_area_size(56)
        .build_cartesian_2d(
            (first / MARGIN..last * MARGIN).log_scale().base(2.0),
            (low..high * room).log_scale(),
        )?;
    let names = |place: &f64| match across {
        Across::Bytes => size_name(*place),
        Across::Depth => format!("{place:.0}"),
    };
    chart
        .configure_mesh()
        .x_labels(7)
        .y_labels(6)
        .x_label_formatter(&names)
        .y_label_formatter(&|figure| crate::spread::short(*figure))
        .light_line_style(RGBColor(240, 240, 240))
        .bold_line_style(RGBColor(215, 215, 215))
        .draw()?;
    for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
        line(&mut chart, series, *colour)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 12))
        .draw()?;
    Ok(())
}

fn line(chart: &mut Chart<'_, '_>, series: &Series, colour: RGBColor) -> Result<(), Box<dyn Error>> {
    let medians = series.points.iter().map(|(place, spread)| (*place, spread.median));
    chart
        .draw_series(LineSeries::new(medians.clone(), colour.stroke_width(2)))?
        .label(series.label.clone())
        .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    chart.draw_series(medians.map(|point| Circle::new(point, 3, colour.filled())))?;
    let ranges = series.points.iter().map(|(place, spread)| [(*place, spread.low), (*place, spread.high)]);
    chart.draw_series(ranges.map(|range| PathElement::new(range, colour.mix(0.5).stroke_width(4))))?;
    Ok(())
}

/// Powers of two as people write them; the axis asks for no others.
fn size_name(bytes: f64) -> String {
    format!("{bytes:.0}").parse().map(format_size).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;

    fn run(id: &str, date: &str) -> Record {
        Record::Run(Run {
            id: id.to_owned(),
            program: "scenarios".to_owned(),
            date: date.to_owned(),
            commit: format!("of-{id}"),
            machine: Machine {
                cpu: String::new(),
                cpus: 2,
                instruction_sets: Vec::new(),
                kernel: String::new(),
                memory_bytes: 0,
                load_average: 0.0,
            },
            storage: Vec::new(),
            note: String::new(),
        })
    }

    fn measured(run: &str, subject: &str, bytes: u64, cpu: f64) -> Record {
        let mut measured = Measurement::new("get", subject, "get").with("cpu_us_per_operation", cpu);
        measured.run = run.to_owned();
        measured.bytes = Some(bytes);
        Record::Measurement(measured)
    }

    #[test]
    fn a_plot_shows_the_latest_run_and_always_the_same_bytes() {
        let records = [
            run("new", "2026-11-22T01:00:00Z"),
            measured("new", "static <&> responder", 4096, 10.0),
            measured("new", "static <&> responder", 4096, 12.0),
            measured("new", "static <&> responder", 4 << 20, 900.0),
            measured("new", "ours", 4096, 0.0),
            run("old", "2026-11-21T01:00:00Z"),
            measured("old", "gone", 4096, 50.0),
            run("empty", "2026-11-23T01:00:00Z"),
        ];
        let plots = draw_all(&records).unwrap();
        assert_eq!(plots, draw_all(&records).unwrap());
        let cpu = plots.iter().find(|plot| plot.name == "cpu.svg").unwrap();
        assert!(cpu.svg.contains("of-new") && !cpu.svg.contains("gone"), "{}", cpu.svg);
        assert!(cpu.svg.contains("4KiB") && cpu.svg.contains("&lt;&amp;&gt;"), "{}", cpu.svg);
        assert!(!cpu.svg.contains("ours"), "nothing that could be drawn was measured of it");
        assert!(!plots.iter().any(|plot| plot.name == "devices.svg"));
        assert_eq!(draw_all(&[]).unwrap(), []);
    }

    #[test]
    fn rounds_become_one_point_with_a_range() {
        let records =
            [measured("r", "a", 4096, 3.0), measured("r", "a", 4096, 1.0), measured("r", "a", 4096, 2.0)];
        let measured: Vec<_> = records
            .iter()
            .filter_map(|record| match record {
                Record::Measurement(measured) => Some(measured),
                Record::Run(_) => None,
            })
            .collect();
        let lines = series(&measured, "get", PLOTS[0]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].points, [(4096.0, Spread { median: 2.0, low: 1.0, high: 3.0 })]);
    }

    #[test]
    fn the_plots_in_docs_are_of_the_results_that_are_kept() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let records = read_results(&root.join("results")).unwrap();
        let plots = draw_all(&records).unwrap();
        let folder = root.join("../docs/plots");
        for plot in &plots {
            let kept = fs::read_to_string(folder.join(plot.name)).unwrap_or_default();
            assert!(kept == plot.svg, "{} is not of the results: run `cargo xtask plots`", plot.name);
        }
        let kept = fs::read_to_string(folder.join("figures.md")).unwrap_or_default();
        assert!(kept == crate::figures::tables(&records), "figures.md: run `cargo xtask plots`");
        let kept = fs::read_dir(folder).unwrap().count();
        assert_eq!(kept, plots.len() + 1, "a plot of no results: run `cargo xtask plots`");
    }
}
