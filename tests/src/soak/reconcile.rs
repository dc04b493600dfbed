//! The end of a queue: every job is where its history says, and nowhere else.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use queue_core::{DeadJob, DeadReason, HandedBack, JobId, NewJob, ShutdownReport};

use super::books::State;
use super::record::{Answer, End, Record};
use super::task::Task;

/// Jobs that go on in another queue.
pub(super) type Carried = Vec<(NewJob, Record)>;

/// Compares the books with what the queue says it holds and gives back. Returns what goes on in another queue.
pub(super) fn reconcile(
    state: &mut State,
    report: ShutdownReport,
    dead: Vec<Arc<DeadJob>>,
) -> Result<Carried, String> {
    state.tally.handed_back += report.handed_back.len() as u64;
    state.tally.dead += dead.len() as u64;
    let abandoned = report.abandoned;
    let mut places = places(report.handed_back, dead)?;
    let mut carried = Carried::new();
    let (mut purged, mut perhaps) = (0, 0);
    for (number, record) in &state.records {
        let life = &record.life;
        match (places.remove(number), life.end) {
            (None, Some(End::Dead(_))) if record.may_be_cancelled() => perhaps += 1,
            (None, Some(End::Dead(_))) if record.is_unknown || !life.is_requeued => purged += 1,
            (None, Some(End::Dead(_)) | None) => {
                if !record.may_be_cancelled() {
                    return Err(format!("job {number} is lost: {record:?}"));
                }
            }
            (None, Some(_)) => {}
            (Some(Place::Dead(dead)), _) if may_be_dead(&dead, record, &abandoned) => {}
            (Some(Place::HandedBack(back)), _) if may_be_handed_back(&back, record) => {
                carried.push((back.job, record.reborn(Duration::ZERO)));
            }
            (place, _) => {
                return Err(format!("job {number} is where it cannot be: {record:?}, now {place:?}"));
            }
        }
    }
    if let Some((number, place)) = places.into_iter().next() {
        return Err(format!("job {number} was never pushed, and is now {place:?}"));
    }
    if !(purged..=purged + perhaps).contains(&state.purged) {
        let told = state.purged;
        return Err(format!("{told} dead letters were purged, and {purged} or {perhaps} more are gone"));
    }
    for job in state.carry.drain(..) {
        let record = Task::number_of(&job).and_then(|number| state.records.get(&number));
        let record = record.ok_or_else(|| format!("{job:?} was refused, and is in no book"))?;
        carried.push((job, record.reborn(record.delay)));
    }
    Ok(carried)
}

/// Where a job was found.
#[derive(Debug)]
enum Place {
    Dead(Arc<DeadJob>),
    HandedBack(HandedBack),
}

fn places(handed_back: Vec<HandedBack>, dead: Vec<Arc<DeadJob>>) -> Result<HashMap<u64, Place>, String> {
    let back = handed_back.into_iter().map(|back| (Task::number_of(&back.job), Place::HandedBack(back)));
    let dead =
        dead.into_iter().map(|dead| (Task::read(&dead.payload).map(|task| task.number), Place::Dead(dead)));
    let mut places = HashMap::new();
    for (number, place) in back.chain(dead) {
        let Some(number) = number else { return Err(format!("{place:?} has the payload of nobody")) };
        match places.entry(number) {
            Entry::Vacant(vacant) => drop(vacant.insert(place)),
            Entry::Occupied(first) => {
                return Err(format!("job {number} is in two places: {:?} and {place:?}", first.get()));
            }
        }
    }
    Ok(places)
}

fn may_be_dead(dead: &DeadJob, record: &Record, abandoned: &[JobId]) -> bool {
    let life = &record.life;
    let attempts = match life.end {
        Some(End::Dead(reason)) if reason == dead.reason => match reason {
            DeadReason::Discarded => life.attempt + 1,
            _ => life.attempt,
        },
        _ if dead.reason == DeadReason::ShutDown && abandoned.contains(&dead.id) => return true,
        _ => return false,
    };
    dead.attempts == attempts && life.id.is_none_or(|id| id == dead.id)
}

fn may_be_handed_back(back: &HandedBack, record: &Record) -> bool {
    let life = &record.life;
    let was_interrupted = life.last == Some(Answer::Dropped) && back.attempts + 1 == life.attempt;
    match life.end {
        None => was_interrupted || back.attempts == life.attempt,
        Some(End::Dead(_)) if life.is_requeued || record.is_unknown => back.attempts == 0,
        Some(End::Dead(DeadReason::RetriesExhausted)) => was_interrupted,
        _ => false,
    }
}
