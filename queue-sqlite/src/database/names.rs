//! The numbers of names.

use queue_core::Name;
use rusqlite::{Connection, Statement};
use rustc_hash::FxHashMap;

/// What number each name has. Names are few: those of named queues and kinds.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: FxHashMap<Name, i64>,
    /// Given in the transaction that is being written, and void if it fails.
    new: Vec<Name>,
}

/// What name each number has.
pub(super) type Known = FxHashMap<i64, Name>;

impl Names {
    pub(super) fn read(conn: &Connection) -> rusqlite::Result<(Self, Known)> {
        let mut statement = conn.prepare("SELECT id, name FROM names")?;
        let known = statement
            .query_map([], |row| Ok((row.get(0)?, Name::from(row.get::<_, String>(1)?))))?
            .collect::<rusqlite::Result<Known>>()?;
        let numbers = known.iter().map(|(&number, name)| (name.clone(), number)).collect();
        Ok((Self { numbers, new: Vec::new() }, known))
    }

    /// The name's number; it is given one if it has none.
    pub(super) fn number(&mut self, name: &Name, add: &mut Statement<'_>) -> rusqlite::Result<i64> {
        if let Some(&number) = self.numbers.get(name) {
            return Ok(number);
        }
        let number = add.insert([name.as_str()])?;
        self.numbers.insert(name.clone(), number);
        self.new.push(name.clone());
        Ok(number)
    }

    pub(super) fn keep_new(&mut self) {
        self.new.clear();
    }

    pub(super) fn forget_new(&mut self) {
        for name in self.new.drain(..) {
            self.numbers.remove(&name);
        }
    }
}
