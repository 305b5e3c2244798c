//! Measured figures, and tables of them.

use std::time::Instant;

use hdrhistogram::Histogram;

use super::meter::Meter;
use super::server::ServerUnderTest;

/// Times in nanoseconds. What takes longer than the highest counts as that.
pub type Latencies = Histogram<u64>;

const LONGEST_NS: u64 = 60_000_000_000;

/// No times yet.
pub fn latencies() -> Latencies {
    // Bounds and precision are constants that the crate accepts.
    Histogram::new_with_bounds(1, LONGEST_NS, 3).unwrap_or_else(|_| unreachable!("constant bounds"))
}

/// Counts `count` deliveries that took `ns`.
pub fn record(latencies: &mut Latencies, ns: u64, count: u64) {
    latencies.saturating_record_n(ns, count);
}

/// What one run of a workload gave.
pub struct Sample {
    /// The workload's figure: processor time of the server or memory, for each operation. None without its process.
    pub cost: Option<f64>,
    /// Operations in a second.
    pub rate: f64,
    /// The generator's own processor time for each operation, in nanoseconds.
    pub generator_ns: f64,
    /// From sending to the read that brought it.
    pub latencies: Latencies,
}

/// Takes the figures of a span of time.
pub struct Stopwatch<'s> {
    meters: Vec<&'s Meter>,
    server_ns: Option<u64>,
    own_ns: Option<u64>,
    since: Instant,
}

impl<'s> Stopwatch<'s> {
    /// Starts.
    pub fn start(server: &'s ServerUnderTest) -> Stopwatch<'s> {
        settle();
        let meters: Vec<&Meter> = server.meter.iter().collect();
        let server_ns = processor_ns(&meters);
        Stopwatch { meters, server_ns, own_ns: Meter::own().processor_ns(), since: Instant::now() }
    }

    /// The figures for each of `operations`, processor time in nanoseconds.
    pub fn stop(self, operations: u64, latencies: Latencies) -> Sample {
        let elapsed = self.since.elapsed();
        let own_ns = Meter::own().processor_ns();
        settle();
        let each = |start: Option<u64>, end: Option<u64>| Some((end? - start?) as f64 / operations as f64);
        Sample {
            cost: each(self.server_ns, processor_ns(&self.meters)),
            rate: operations as f64 / elapsed.as_secs_f64(),
            generator_ns: each(self.own_ns, own_ns).unwrap_or_default(),
            latencies,
        }
    }
}

/// The kernel counts a thread's time when it goes to sleep: gives the server the time to do so.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(5));
}

fn processor_ns(meters: &[&Meter]) -> Option<u64> {
    if meters.is_empty() { None } else { meters.iter().map(|meter| meter.processor_ns()).sum() }
}

/// The median.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2).copied()?;
    let lower = values.get((values.len() - 1) / 2).copied()?;
    Some((lower + upper) / 2.0)
}

/// A number with three significant digits or all of its whole part, thousands apart.
pub fn figure(value: f64) -> String {
    let decimals = if value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// The 50th, 99th and 99.9th percentile in microseconds.
pub fn percentiles(latencies: &Latencies) -> String {
    if latencies.is_empty() {
        return "–".to_owned();
    }
    let at = |quantile| figure(latencies.value_at_quantile(quantile) as f64 / 1000.0);
    format!("{} / {} / {}", at(0.5), at(0.99), at(0.999))
}

/// Prints rows as a Markdown table; the first is its head.
pub fn print_table(rows: &[Vec<String>]) -> crate::bench::Result<()> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let cell = |row: &[String], column: usize| row.get(column).cloned().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().map(|row| cell(row, column).chars().count()).max().unwrap_or(0))
        .collect();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            widths.iter().enumerate().map(|(column, &width)| format!("{:width$}", cell(row, column))).collect();
        say!("| {} |", cells.join(" | "))?;
        if index == 0 {
            let rule: Vec<String> = widths.iter().map(|&width| "-".repeat(width)).collect();
            say!("|-{}-|", rule.join("-|-"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_or_all_of_their_whole_part() {
        let shown: Vec<String> = [1.0, 14.26, 99.96, 434.4, 12_345.6, 1_234_567.0].map(figure).to_vec();
        assert_eq!(shown, ["1.00", "14.3", "100", "434", "12,346", "1,234,567"]);
    }

    #[test]
    fn the_median_of_an_even_number_of_values_lies_between_the_two_in_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(vec![]), None);
    }
}
