//! The memory of a process.

use std::fs;

/// What of it is resident, in MB.
pub fn resident(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its resident memory");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024.0 / 1e6
}

/// What of it is nobody else's, in MB.
pub fn private(process: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).expect("its memory");
    let lines = rollup.lines().filter(|line| line.starts_with("Private_"));
    let kilobytes: f64 = lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).sum();
    kilobytes * 1024.0 / 1e6
}
