//! Measuring: two sides in turns, medians, and a line for what comes of it.

use std::fs;
use std::time::Instant;

use pgtls_e2e::prelude::*;

/// Nanoseconds until it is done.
pub(crate) fn wall_time(run: impl FnOnce()) -> f64 {
    let started = Instant::now();
    run();
    started.elapsed().as_nanos() as f64
}

/// Nanoseconds that the session's backend is on a processor for a query: what others do meanwhile
/// does not count.
pub(crate) fn processor_time(session: &Session, sql: &str) -> f64 {
    processor_time_of(session.pid(), || session.run(sql))
}

/// Nanoseconds that a process is on a processor while something is done.
pub(crate) fn processor_time_of(pid: u32, run: impl FnOnce()) -> f64 {
    let statistics = format!("/proc/{pid}/schedstat");
    let spent = || -> u64 {
        let statistics = fs::read_to_string(&statistics).unwrap_or_default();
        let first = statistics.split_whitespace().next().and_then(|first| first.parse().ok());
        first.expect("Linux keeps statistics of its scheduler")
    };
    let before = spent();
    run();
    (spent() - before) as f64
}

/// The median time of each, run in turns for so many rounds, after one that does not count.
pub(crate) fn medians<const N: usize, F: Fn() -> f64>(rounds: usize, runs: [F; N]) -> [f64; N] {
    let mut times = [(); N].map(|()| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        for (run, times) in runs.iter().zip(&mut times) {
            let time = run();
            if round > 0 {
                times.push(time);
            }
        }
    }
    times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    })
}

/// The head of a table.
pub(crate) fn heading(what: &str, theirs: &str, ours: &str) {
    println!("\n{what:<28}{theirs:>12}{ours:>12}{:>8}  goal", "ratio");
}

/// A line of the table, from times in nanoseconds. A goal that is missed is told, and is no
/// failure.
pub(crate) fn report(what: &str, theirs: f64, ours: f64, goal: Option<f64>) {
    line(what, [show(theirs), show(ours)], ours / theirs, goal);
}

fn line(what: &str, [theirs, ours]: [String; 2], ratio: f64, goal: Option<f64>) {
    let goal = goal.map_or_else(String::new, |goal| {
        format!("at most {goal}: {}", if ratio <= goal { "met" } else { "missed" })
    });
    println!("{what:<28}{theirs:>12}{ours:>12}{ratio:>8.3}  {goal}");
}

/// Peak memory of a process so far, in bytes (`VmHWM`, see proc(5)); 0 if it is gone.
pub(crate) fn peak_memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.unwrap_or(0.0) * 1024.0
}

/// Two amounts of memory, as [`report`] does with times.
pub(crate) fn report_memory(what: &str, theirs: f64, ours: f64, goal: Option<f64>) {
    let show = |bytes: f64| format!("{:.1} MB", bytes / 1e6);
    line(what, [show(theirs), show(ours)], ours / theirs, goal);
}

fn show(nanoseconds: f64) -> String {
    match nanoseconds {
        ..1e3 => format!("{nanoseconds:.1} ns"),
        ..1e6 => format!("{:.1} µs", nanoseconds / 1e3),
        _ => format!("{:.1} ms", nanoseconds / 1e6),
    }
}
