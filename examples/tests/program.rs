//! The programs themselves, as a user runs them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

fn webhooks(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhooks"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn an_unknown_runtime_is_refused_with_the_ones_there_are() {
    let Output { status, stdout, stderr } = webhooks(&["--runtime", "other"]).output().expect("it starts");
    assert_eq!(status.code(), Some(2));
    assert!(stdout.is_empty());
    let stderr = String::from_utf8_lossy(&stderr);
    assert!(stderr.contains("tokio, smol, compio, all"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_it_gracefully_with_a_report_that_is_checked() {
    let mut program = webhooks(&["--json"]).spawn().expect("it starts");
    let mut progress = BufReader::new(program.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("66 of 329 settled") {
        line.clear();
        assert_ne!(progress.read_line(&mut line).expect("it is text"), 0, "it ended too early");
    }
    let kill = Command::new("sh").args(["-c", &format!("kill -INT {}", program.id())]).status();
    assert!(kill.expect("there is a shell").success());
    let mut rest = String::new();
    progress.read_to_string(&mut rest).expect("it is text");
    assert!(rest.contains("tokio: interrupted, shutting down"), "{rest}");

    let Output { status, stdout, .. } = program.wait_with_output().expect("it ends");
    let report: Value = serde_json::from_slice(&stdout).expect("standard output is one JSON object");
    assert_eq!((status.code(), &report["ok"], &report["interrupted"]), (Some(0), &true.into(), &true.into()));
    assert_eq!(report["not_run"], serde_json::json!(["smol", "compio"]));
    let run = &report["runs"][0];
    assert_eq!((&run["ending"], &run["problems"]), (&"interrupted".into(), &serde_json::json!([])));
    let count = |what: &str| run["total"][what].as_u64().expect("it is a number");
    assert_eq!(count("accepted"), 329);
    assert_eq!(count("acknowledged") + count("dead") + count("handed_back"), 329);
    assert_eq!(run["handed_back"].as_array().map(Vec::len), usize::try_from(count("handed_back")).ok());
    assert!(count("handed_back") > 0, "some receivers need more time");
}

#[cfg(unix)]
mod killed_twice_it_goes_on {
    #[test]
    fn tokio() {
        super::killed_twice("tokio");
    }

    #[test]
    fn smol() {
        super::killed_twice("smol");
    }

    #[test]
    fn compio() {
        super::killed_twice("compio");
    }
}

#[cfg(unix)]
fn killed_twice(runtime: &str) {
    let folder = tempfile::tempdir().expect("there is room");
    let store = folder.path().join("jobs.db");
    let program = || {
        let mut command = webhooks(&["--json", "--runtime", runtime, "--store"]);
        command.arg(&store);
        command
    };

    // While it pushes.
    let mut first = program().stderr(Stdio::null()).spawn().expect("it starts");
    while accepted(&folder.path().join("jobs.db.logbook")) < 100 {
        assert!(first.try_wait().expect("it is a child").is_none(), "it ended too early");
        thread::yield_now();
    }
    first.kill().expect("it lives");
    first.wait().expect("it has ended");

    // While it delivers.
    let mut second = program().spawn().expect("it starts");
    let mut progress = BufReader::new(second.stderr.take().expect("it is piped"));
    let mut line = String::new();
    while !line.contains("66 of 329 settled") {
        line.clear();
        assert_ne!(progress.read_line(&mut line).expect("it is text"), 0, "it ended too early");
    }
    second.kill().expect("it lives");
    second.wait().expect("it has ended");

    let third = report(program().output().expect("it starts"));
    let (total, lives) = (&third["runs"][0]["total"], &third["runs"][0]["lives"]);
    let count = |of: &Value, what: &str| of[what].as_u64().expect("it is a number");
    assert_eq!((count(lives, "lives"), count(lives, "kills"), count(lives, "kept")), (3, 2, 0), "{third:#}");
    assert!(count(lives, "pushed_twice") <= 32, "{third:#}");
    let all = 329 + count(lives, "pushed_twice");
    assert_eq!(count(total, "accepted"), all, "{third:#}");
    assert_eq!(count(total, "acknowledged") + count(total, "dead"), all, "{third:#}");

    let fourth = report(program().output().expect("it starts"));
    assert_eq!(&fourth["runs"][0]["total"], total, "nothing is left to be done");
}

/// How many deliveries the logbook has as accepted; none if there is no logbook.
#[cfg(unix)]
fn accepted(logbook: &Path) -> usize {
    fs::read_to_string(logbook).unwrap_or_default().matches("\"accepted\"").count()
}

#[cfg(unix)]
fn report(Output { status, stdout, .. }: Output) -> Value {
    let report: Value = serde_json::from_slice(&stdout).expect("standard output is one JSON object");
    assert_eq!((status.code(), &report["ok"]), (Some(0), &true.into()), "{report:#}");
    report
}

#[test]
fn what_is_pushed_is_there_in_the_next_process() {
    let folder = tempfile::tempdir().expect("there is room");
    for before in [0, 1] {
        let program =
            Command::new(env!("CARGO_BIN_EXE_hello_durable")).arg(folder.path().join("jobs.db")).output();
        let Output { status, stdout, stderr } = program.expect("it starts");
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        let says = format!(
            "Jobs from before: {before}\nSending email to user@example.com\nShut down; jobs kept: {}\n",
            before + 1
        );
        assert_eq!(String::from_utf8_lossy(&stdout), says);
    }
}

#[test]
fn the_small_examples_do_what_they_say() {
    let hello = [
        "Sending email to busy@example.com (attempt 1)",
        "Sending email to last@example.com (attempt 0)",
        "Sending email to later@example.com (attempt 0)",
        "Shut down; jobs handed back: 1",
    ];
    let foreign = ["Hello, world (attempt 1)", "Shut down; jobs handed back: 0"];
    for (program, says) in [
        (env!("CARGO_BIN_EXE_hello_tokio"), &hello[..]),
        (env!("CARGO_BIN_EXE_hello_smol"), &hello),
        (env!("CARGO_BIN_EXE_hello_compio"), &hello),
        (env!("CARGO_BIN_EXE_foreign_executor"), &foreign),
    ] {
        let Output { status, stdout, stderr } = Command::new(program).output().expect("it starts");
        assert!(status.success(), "{program}: {}", String::from_utf8_lossy(&stderr));
        // Sorted, because workers that are due together print in any order.
        let stdout = String::from_utf8(stdout).expect("it prints text");
        let mut lines: Vec<_> = stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, says, "{program}");
    }
}
