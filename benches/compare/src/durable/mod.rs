//! Contenders whose jobs outlive the process.

pub(crate) mod load;
pub(crate) mod ours;
pub(crate) mod raw_log;

use std::path::{Path, PathBuf};
use std::{env, fs};

use tempfile::TempDir;

use crate::work::Void;

impl From<String> for Void {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

/// A new folder on the disk that this program was built on: a temporary folder of the system may be in memory.
pub(crate) fn folder() -> Result<TempDir, Void> {
    let parent = beside_build("durable")?;
    fs::create_dir_all(&parent).map_err(|error| Void(error.to_string()))?;
    let (kind, _) = file_system(&parent);
    if matches!(kind.as_str(), "tmpfs" | "ramfs") {
        return Err(Void(format!("{} is in memory: nothing is durable there", parent.display())));
    }
    tempfile::tempdir_in(parent).map_err(|error| Void(error.to_string()))
}

/// A folder beside those of cargo's profiles.
pub(crate) fn beside_build(name: &str) -> Result<PathBuf, Void> {
    let here = env::current_exe().map_err(|error| Void(error.to_string()))?;
    let target = here.ancestors().nth(2).ok_or_else(|| Void("this program is nowhere".into()))?;
    Ok(target.join(name))
}

/// What the files are on.
pub(crate) fn where_files_are() -> String {
    let Ok(folder) = beside_build("durable") else { return "unknown".into() };
    let (kind, device) = file_system(&folder);
    format!("{kind} on {device}")
}

/// The kind and device of the file system that holds this path.
fn file_system(path: &Path) -> (String, String) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let held = mounts.lines().filter_map(|mount| {
        let mut words = mount.split(' ');
        let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
        path.starts_with(point).then_some((point.len(), kind, device))
    });
    held.max_by_key(|(length, ..)| *length).map_or_else(
        || ("unknown".into(), "unknown".into()),
        |(_, kind, device)| (kind.into(), device.into()),
    )
}
