//! All workloads of the table, in turn, against cfp-server, the floor and, if asked for, other chat servers.

use super::Result;
use super::report::{Latencies, Sample, figure, latencies, median, percentiles, print_table};
use super::server::{Launcher, Program, ServerUnderTest};
use super::workload::{DirectPlan, PacedPlan, RoomPlan, direct, idle, paced, room, storm};
use crate::shell::stdio::complain;

/// How much work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Figures that mean something.
    Full,
    /// Figures that mean something, for servers that take a hundred times as long.
    Fewer,
    /// A few seconds, to see that it works.
    Quick,
}

impl Size {
    /// One of the counts for full, fewer and quick.
    fn pick(self, [full, fewer, quick]: [u64; 3]) -> u64 {
        match self {
            Size::Full => full,
            Size::Fewer => fewer,
            Size::Quick => quick,
        }
    }
}

/// Pairs of a sender and a receiver.
const PAIRS: usize = 100;

/// One line of the table.
pub struct Row {
    /// One workload with its figures.
    pub title: &'static str,
    /// Samples are divided by this before they are printed.
    unit: f64,
    /// What cfp-server is to reach.
    target: Target,
    /// The floor's connections that are partners.
    paired: usize,
    run: Box<Workload>,
}

type Workload = dyn Fn(&ServerUnderTest, Size) -> Result<Sample>;

enum Target {
    TimesFloor(f64),
    Bytes(f64),
}

/// The table's lines.
pub fn rows() -> Vec<Row> {
    let row = |title, target, run| Row { title, unit: 1.0, target, paired: 0, run };
    vec![
        row(
            "room of 100, one sender, window 256: ns per delivery",
            Target::TimesFloor(1.5),
            Box::new(|subject, size| {
                let bursts = size.pick([500, 25, 20]);
                room(subject, RoomPlan { members: 100, window: 256, bursts })
            }),
        ),
        row(
            "room of 1,000, window 64: ns per delivery",
            Target::TimesFloor(1.3),
            Box::new(|subject, size| {
                let bursts = size.pick([150, 8, 4]);
                room(subject, RoomPlan { members: 1000, window: 64, bursts })
            }),
        ),
        row(
            "room of 100, 1,000 messages a second: ns per delivery",
            Target::TimesFloor(1.08),
            Box::new(|subject, size| {
                let messages = size.pick([3000, 3000, 200]);
                paced(subject, PacedPlan { members: 100, rate: 1000, messages })
            }),
        ),
        Row {
            paired: 2 * PAIRS,
            ..row(
                "100 pairs, private, window 8: ns per message",
                Target::TimesFloor(1.4),
                Box::new(|subject, size| {
                    let messages = size.pick([800_000, 200_000, 16_000]);
                    direct(subject, DirectPlan { pairs: PAIRS, idle: 0, window: 8, messages })
                }),
            )
        },
        row(
            "10,000 idle logged-in clients: bytes resident each",
            Target::Bytes(300.0),
            Box::new(|subject, size| idle(subject, size.pick([10_000, 10_000, 500]) as usize)),
        ),
        Row {
            unit: 1000.0,
            ..row(
                "5,000 logins at once: µs of processor time each",
                Target::TimesFloor(1.5),
                Box::new(|subject, size| storm(subject, size.pick([5_000, 5_000, 500]) as usize)),
            )
        },
    ]
}

/// Runs every line `runs` times with each program, the programs in turn, and prints the table.
pub fn all(launcher: &Launcher, peers: &[Program], runs: usize, size: Size) -> Result<()> {
    let mut programs = vec![Program::Floor, Program::Server];
    programs.extend_from_slice(peers);
    let rows = rows();
    let mut results: Vec<Vec<Column>> =
        rows.iter().map(|_| programs.iter().map(|_| Column::default()).collect()).collect();
    for run in 0..runs {
        for (row, columns) in rows.iter().zip(&mut results) {
            // Every second run has the opposite order, so that a machine that slows down slows both.
            let mut order: Vec<usize> = (0..programs.len()).collect();
            if run % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let (Some(&program), Some(column)) = (programs.get(index), columns.get_mut(index)) else { continue };
                let subject = launcher.start(program, &[], row.paired)?;
                let is_slow = size == Size::Full && program == Program::Mosquitto;
                let sample = (row.run)(&subject, if is_slow { Size::Fewer } else { size })?;
                let cost = sample.cost.map_or_else(|| "–".to_owned(), |cost| figure(cost / row.unit));
                complain(&format!(
                    "run {}: {}: {}: {cost} ({} a second, generator {} ns)\n",
                    run + 1,
                    row.title,
                    program.name(),
                    figure(sample.rate),
                    figure(sample.generator_ns),
                ));
                column.add(sample);
            }
        }
    }
    print_costs(&rows, &programs, &results)?;
    say!("")?;
    print_latencies(&rows, &programs, &results)
}

/// The samples of one program in one workload.
struct Column {
    costs: Vec<f64>,
    latencies: Latencies,
}

impl Default for Column {
    fn default() -> Column {
        Column { costs: Vec::new(), latencies: latencies() }
    }
}

impl Column {
    /// The cost as a multiple of `floor`: the median of the runs' ratios. A run's samples were taken directly one after
    /// the other, and the machine's other load changes from run to run.
    fn times(&self, floor: &Column) -> Option<f64> {
        median(self.costs.iter().zip(&floor.costs).map(|(cost, floor)| cost / floor).collect())
    }

    fn add(&mut self, sample: Sample) {
        self.costs.extend(sample.cost);
        // Both histograms have the same bounds.
        let _ = self.latencies.add(sample.latencies);
    }
}

fn print_costs(rows: &[Row], programs: &[Program], results: &[Vec<Column>]) -> Result<()> {
    let mut head = vec!["workload".to_owned()];
    head.extend(programs.iter().map(|program| program.name().to_owned()));
    head.extend(["cfp-server / floor".to_owned(), "to reach".to_owned(), "reached".to_owned()]);
    let mut table = vec![head];
    for (row, columns) in rows.iter().zip(results) {
        let medians: Vec<Option<f64>> = columns.iter().map(|column| median(column.costs.clone())).collect();
        let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| figure(value / row.unit));
        let mut line = vec![row.title.to_owned()];
        line.extend(medians.iter().map(|&median| show(median)));
        // The floor and cfp-server are the first two programs.
        let server = medians.get(1).copied().flatten();
        let ratio = columns.first().zip(columns.get(1)).and_then(|(floor, server)| server.times(floor));
        line.push(ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")));
        let (target, reached) = match row.target {
            Target::TimesFloor(most) => (format!("≤ {most} × floor"), ratio.map(|ratio| ratio <= most)),
            Target::Bytes(most) => (format!("≤ {most}"), server.map(|server| server <= most)),
        };
        line.push(target);
        line.push(reached.map_or("–", |reached| if reached { "yes" } else { "no" }).to_owned());
        table.push(line);
    }
    print_table(&table)
}

fn print_latencies(rows: &[Row], programs: &[Program], results: &[Vec<Column>]) -> Result<()> {
    let mut head = vec!["latency at 50 / 99 / 99.9 %, µs".to_owned()];
    head.extend(programs.iter().map(|program| program.name().to_owned()));
    let mut table = vec![head];
    for (row, columns) in rows.iter().zip(results) {
        if columns.iter().any(|column| !column.latencies.is_empty()) {
            let mut line = vec![row.title.split(':').next().unwrap_or_default().to_owned()];
            line.extend(columns.iter().map(|column| percentiles(&column.latencies)));
            table.push(line);
        }
    }
    print_table(&table)
}
