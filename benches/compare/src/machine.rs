//! What the figures were measured on and with.

use std::process::Command;
use std::{fs, thread};

use serde::Serialize;

#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    /// Of the last minute before the run: others who compute here make the figures worse.
    pub(crate) load: String,
    pub(crate) rustc: String,
    pub(crate) commit: String,
    pub(crate) crates: Vec<String>,
}

const CRATES: [&str; 13] = [
    "apalis",
    "apalis-sqlite",
    "async-channel",
    "compio",
    "effectum",
    "flume",
    "kanal",
    "queue-core",
    "rusqlite",
    "serde_json",
    "smol",
    "tako-rs",
    "tokio",
];

impl Machine {
    pub(crate) fn this() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let changed = !say("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        let commit = say("git", &["log", "-1", "--format=%h %cs"]);
        Self {
            cpu: model.map_or("unknown", |(_, model)| model).to_owned(),
            cores: thread::available_parallelism().map_or(0, usize::from),
            load: load.split(' ').next().unwrap_or_default().to_owned(),
            rustc: say("rustc", &["--version"]),
            commit: if changed { commit + ", with changes" } else { commit },
            crates: versions(),
        }
    }
}

fn say(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output
        .map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The versions that this program and the rivals beside it were built with.
fn versions() -> Vec<String> {
    let mut versions = versions_in(include_str!("../../../Cargo.lock"));
    let rivals = [
        ("apalis-sqlite", include_str!("../../rivals/apalis-sqlite/Cargo.lock")),
        ("effectum", include_str!("../../rivals/effectum/Cargo.lock")),
    ];
    for (rival, lock) in rivals {
        versions.extend(versions_in(lock).into_iter().filter(|version| version.starts_with(rival)));
    }
    versions
}

fn versions_in(lock: &str) -> Vec<String> {
    let packages = lock.split("[[package]]").filter_map(|package| {
        let mut fields = package.lines().filter_map(|line| line.split_once(" = "));
        let name = fields.find(|(key, _)| *key == "name")?.1.trim_matches('"');
        let version = fields.find(|(key, _)| *key == "version")?.1.trim_matches('"');
        CRATES.contains(&name).then(|| format!("{name} {version}"))
    });
    packages.collect()
}
