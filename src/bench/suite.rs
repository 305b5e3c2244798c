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

fn row(title: &'static str, target: Target, run: Box<Workload>) -> Row {
    Row { title, unit: 1.0, target, paired: 0, run }
}

type Workload = dyn Fn(&ServerUnderTest, Size) -> Result<Sample>;

enum Target {
    /// Of the first program's cost.
    Times(f64),
    Bytes(f64),
    Nothing,
}

/// The table's lines.
fn rows_without_tls() -> [Row; 6] {
    [
        row(
            "room of 100, one sender, window 256: ns per delivery",
            Target::Times(1.5),
            Box::new(|server, size| {
                let bursts = size.pick([500, 25, 20]);
                room(server, RoomPlan { members: 100, window: 256, bursts })
            }),
        ),
        row(
            "room of 1,000, window 64: ns per delivery",
            Target::Times(1.3),
            Box::new(|server, size| {
                let bursts = size.pick([150, 8, 4]);
                room(server, RoomPlan { members: 1000, window: 64, bursts })
            }),
        ),
        row(
            "room of 100, 1,000 messages a second: ns per delivery",
            Target::Times(1.08),
            Box::new(|server, size| {
                let messages = size.pick([3000, 3000, 200]);
                paced(server, PacedPlan { members: 100, rate: 1000, messages })
            }),
        ),
        Row {
            paired: 2 * PAIRS,
            ..row(
                "100 pairs, private, window 8: ns per message",
                Target::Times(1.4),
                Box::new(|server, size| {
                    let messages = size.pick([800_000, 200_000, 16_000]);
                    direct(server, DirectPlan { pairs: PAIRS, idle: 0, window: 8, messages })
                }),
            )
        },
        row(
            "10,000 idle logged-in clients: bytes resident each",
            Target::Bytes(300.0),
            Box::new(|server, size| idle(server, size.pick([10_000, 10_000, 500]) as usize)),
        ),
        Row {
            unit: 1000.0,
            ..row(
                "5,000 logins at once: µs of processor time each",
                Target::Times(1.5),
                Box::new(|server, size| storm(server, size.pick([5_000, 5_000, 500]) as usize)),
            )
        },
    ]
}

/// The table's lines if the second program is the first one with TLS.
fn rows_with_tls() -> Vec<Row> {
    let targets = [
        ("room of 100, one sender, window 64: ns per delivery", Target::Times(1.5)),
        ("room of 100, 1,000 messages a second: ns per delivery", Target::Nothing),
        ("100 pairs, private, window 8: ns per message", Target::Nothing),
        ("10,000 idle logged-in clients: bytes resident each", Target::Bytes(4096.0)),
        ("5,000 logins at once: µs of processor time each", Target::Nothing),
    ];
    let [_, _, paced, pairs, idle, storm] = rows_without_tls();
    let room = row(
        "",
        Target::Times(1.5),
        Box::new(|server, size| {
            let bursts = size.pick([2000, 100, 20]);
            room(server, RoomPlan { members: 100, window: 64, bursts })
        }),
    );
    let rows = [room, paced, pairs, idle, storm].into_iter().zip(targets);
    rows.map(|(row, (title, target))| Row { title, target, ..row }).collect()
}

/// Runs every line `runs` times with each program, the programs in turn, and prints the table.
pub fn all(launcher: &Launcher, peers: &[Program], runs: usize, size: Size) -> Result<()> {
    let mut contenders = if launcher.has_tls() {
        vec![Contender::new(&launcher.without_tls(), Program::Server), Contender::new(launcher, Program::Server)]
    } else {
        vec![Contender::new(launcher, Program::Floor), Contender::new(launcher, Program::Server)]
    };
    contenders.extend(peers.iter().map(|&program| Contender::new(launcher, program)));
    let rows = if launcher.has_tls() { rows_with_tls() } else { rows_without_tls().into() };
    let mut results: Vec<Vec<Column>> =
        rows.iter().map(|_| contenders.iter().map(|_| Column::default()).collect()).collect();
    for run in 0..runs {
        for (row, columns) in rows.iter().zip(&mut results) {
            // Every second run has the opposite order, so that a machine that slows down slows both.
            let mut order: Vec<usize> = (0..contenders.len()).collect();
            if run % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let (Some(contender), Some(column)) = (contenders.get(index), columns.get_mut(index)) else { continue };
                let server = contender.launcher.start(contender.program, &[], row.paired)?;
                let is_slow = size == Size::Full && contender.program == Program::Mosquitto;
                let sample = (row.run)(&server, if is_slow { Size::Fewer } else { size })?;
                let cost = sample.cost.map_or_else(|| "–".to_owned(), |cost| figure(cost / row.unit));
                complain(&format!(
                    "run {}: {}: {}: {cost} ({} a second, generator {} ns)\n",
                    run + 1,
                    row.title,
                    contender.name(),
                    figure(sample.rate),
                    figure(sample.generator_ns),
                ));
                column.add(sample);
            }
        }
    }
    print_costs(&rows, &contenders, &results)?;
    say!("")?;
    print_latencies(&rows, &contenders, &results)
}

/// A program as it is measured.
struct Contender {
    launcher: Launcher,
    program: Program,
}

impl Contender {
    fn new(launcher: &Launcher, program: Program) -> Contender {
        Contender { launcher: launcher.clone(), program }
    }

    fn name(&self) -> String {
        format!("{}{}", self.program.name(), if self.launcher.has_tls() { " with TLS" } else { "" })
    }
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

fn print_costs(rows: &[Row], contenders: &[Contender], results: &[Vec<Column>]) -> Result<()> {
    let mut head = vec!["workload".to_owned()];
    head.extend(contenders.iter().map(Contender::name));
    let first_two: Vec<String> = contenders.iter().take(2).map(Contender::name).collect();
    let [base, compared] = first_two.as_slice() else { return Ok(()) };
    head.extend([format!("{compared} / {base}"), "to reach".to_owned(), "reached".to_owned()]);
    let mut table = vec![head];
    for (row, columns) in rows.iter().zip(results) {
        let medians: Vec<Option<f64>> = columns.iter().map(|column| median(column.costs.clone())).collect();
        let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| figure(value / row.unit));
        let mut line = vec![row.title.to_owned()];
        line.extend(medians.iter().map(|&median| show(median)));
        // What is compared with, and what is compared, are the first two programs.
        let server = medians.get(1).copied().flatten();
        let ratio = columns.first().zip(columns.get(1)).and_then(|(floor, server)| server.times(floor));
        line.push(ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")));
        let (target, reached) = match row.target {
            Target::Times(most) => (format!("≤ {most} × {base}"), ratio.map(|ratio| ratio <= most)),
            Target::Bytes(most) => (format!("≤ {most}"), server.map(|server| server <= most)),
            Target::Nothing => ("–".to_owned(), None),
        };
        line.push(target);
        line.push(reached.map_or("–", |reached| if reached { "yes" } else { "no" }).to_owned());
        table.push(line);
    }
    print_table(&table)
}

fn print_latencies(rows: &[Row], contenders: &[Contender], results: &[Vec<Column>]) -> Result<()> {
    let mut head = vec!["latency at 50 / 99 / 99.9 %, µs".to_owned()];
    head.extend(contenders.iter().map(Contender::name));
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
