//! What a person sees and corrects in the `sqlite3` shell, with the statements of the crate's documentation.

mod common;

use common::*;
use queue_core::{Due, JobRecord, Record};

#[test]
fn the_list_is_in_words() {
    let folder = Folder::new();
    folder.write([
        push(1),
        Record::Pushed(Box::new(JobRecord { due: Some(Due::At(at(0))), ..job(2) })),
        Record::Pushed(Box::new(JobRecord {
            due: Some(Due::Never),
            payload: "x".repeat(300).into(),
            ..job(3)
        })),
        push(4),
        push(5),
    ]);
    folder.write([die(4, 1), start(5)]);
    let shell = folder.shell();
    let mut query = shell
        .prepare("SELECT state, due, reason, last_error, substr(payload, 1, 3), kind, queue FROM job_list ORDER BY id")
        .expect("there is such a view");
    let rows = query.query_map([], |row| {
        let texts = (0..7).map(|column| row.get::<_, Option<String>>(column));
        Ok(texts.map(|text| text.map(Option::unwrap_or_default)).collect::<Result<Vec<_>, _>>()?.join("|"))
    });
    let rows: Vec<_> = rows.expect("rows").map(|row| row.expect("a row")).collect();
    assert_eq!(
        rows,
        [
            "waits|at once|||\"1\"|send_email|default",
            "waits|2027-01-15 08:00:00|||\"2\"|send_email|default",
            "waits|never|||xxx|send_email|default",
            "dead||retries exhausted|attempt 0 failed|\"4\"|send_email|default",
            "runs||||\"5\"|send_email|default",
        ]
    );
}

#[test]
fn a_job_can_be_deleted_with_all_it_has() {
    let folder = Folder::new();
    folder.write([push_bytes(7, 1000), start(7), retry(7, 1)]);
    folder.shell().execute("DELETE FROM jobs WHERE id = 7", []).expect("documented");
    assert_eq!((folder.count("jobs"), folder.count("payloads"), folder.count("failures")), (0, 0, 0));
    assert_eq!(folder.look().next_id, 8);
}

#[test]
fn a_job_can_be_made_due() {
    let folder = Folder::new();
    folder.write([Record::Pushed(Box::new(JobRecord { due: Some(Due::Never), ..job(7) }))]);
    folder.shell().execute("UPDATE jobs SET due = NULL WHERE id = 7 AND state = 0", []).expect("documented");
    assert_eq!(only(&folder.look()).due, None);
}

#[test]
fn a_dead_letter_can_be_revived() {
    let folder = Folder::new();
    folder.write([push(7), start(7), die(7, 1)]);
    let revive = "UPDATE jobs SET state = 0, attempt = 0, crashes = 0, reason = NULL, place = NULL
                  WHERE id = 7 AND state = 2";
    folder.shell().execute(revive, []).expect("documented");
    let found = folder.look();
    let job = only(&found);
    assert_eq!((job.attempt, job.due, found.dead.len()), (0, None, 0));
    assert_eq!(job.more.as_ref().map(|more| more.history.len()), Some(1));
}

#[test]
fn a_job_can_be_moved() {
    let folder = Folder::new();
    folder.write([push(7), Record::Pushed(Box::new(JobRecord { queue: "email".into(), ..job(8) }))]);
    let mover = "UPDATE jobs SET queue = (SELECT id FROM names WHERE name = 'email') WHERE id = 7";
    folder.shell().execute(mover, []).expect("documented");
    assert!(waiting(&folder.look()).iter().all(|job| job.queue == "email"));
}

#[test]
fn nonsense_is_refused() {
    let folder = Folder::new();
    folder.write([push(7)]);
    let shell = folder.shell();
    for nonsense in ["priority = 10", "state = 3", "attempt = 'first'", "due = 'now'", "queue = NULL"] {
        let update = format!("UPDATE jobs SET {nonsense} WHERE id = 7");
        assert!(shell.execute(&update, []).is_err(), "{nonsense}");
    }
}
