//! What is to be sent: the files that were named, and those in directories, in a settled order.

use super::screen::shown;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Most files in one run.
const FILES_MAX: usize = 200_000;

/// A file that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// As the caller named it, or below a directory that the caller named.
    pub(super) path: PathBuf,
    /// Its size when it was found; what counts is the size when it is opened.
    pub(super) size: u64,
}

/// What was found, and what wasn't or is left out.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    /// Regular files: those that were named in that order, those of a directory sorted.
    pub(super) files: Vec<Found>,
    /// What is left out on purpose, each a line.
    pub(super) skipped: Vec<String>,
    /// What was named and can't be sent: the path and why.
    pub(super) failed: Vec<(PathBuf, String)>,
}

/// Looks at all that was named. Links that were named are followed, those in directories aren't:
/// they could lead anywhere, or in a circle.
pub(super) fn harvest(named: &[PathBuf]) -> Harvest {
    let mut harvest = Harvest::default();
    let mut seen = HashSet::new();
    for path in named {
        match fs::metadata(path) {
            Err(cause) => harvest.failed.push((path.clone(), reason(&cause))),
            Ok(about) if about.is_dir() => walk(path, &mut harvest, &mut seen),
            Ok(about) if about.is_file() => add(path.clone(), about.len(), &mut harvest, &mut seen),
            Ok(_) => harvest.failed.push((path.clone(), "it isn't a regular file".to_owned())),
        }
    }
    harvest
}

fn add(path: PathBuf, size: u64, harvest: &mut Harvest, seen: &mut HashSet<PathBuf>) {
    let whole = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
    if !seen.insert(whole) {
        harvest.skipped.push(format!("{}: skipped, it was named before", shown(&path)));
    } else if harvest.files.len() >= FILES_MAX {
        let why = format!("a run takes {FILES_MAX} files at most");
        harvest.failed.push((path, why));
    } else {
        harvest.files.push(Found { path, size });
    }
}

/// Goes through a directory, names in order, a directory's own files before those below it.
fn walk(top: &Path, harvest: &mut Harvest, seen: &mut HashSet<PathBuf>) {
    let mut open = vec![top.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = fs::read_dir(&directory).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()
        });
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(cause) => {
                harvest.failed.push((directory, reason(&cause)));
                continue;
            }
        };
        entries.sort();
        let mut below = Vec::new();
        for path in entries {
            let name = path.file_name().unwrap_or_default();
            if name.as_encoded_bytes().starts_with(b".") {
                harvest.skipped.push(format!("{}: skipped, it is hidden", shown(&path)));
                continue;
            }
            match fs::symlink_metadata(&path) {
                Err(cause) => harvest.failed.push((path, reason(&cause))),
                Ok(about) if about.is_dir() => below.push(path),
                Ok(about) if about.is_file() => add(path, about.len(), harvest, seen),
                Ok(about) => {
                    let what = if about.is_symlink() { "a link" } else { "no regular file" };
                    harvest.skipped.push(format!("{}: skipped, it is {what}", shown(&path)));
                }
            }
        }
        open.extend(below.into_iter().rev());
    }
}

fn reason(cause: &std::io::Error) -> String {
    format!("it can't be read: {cause}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directories are walked in order; what is hidden, linked or named twice is left out, and
    /// each time a line says so.
    #[test]
    fn walks_in_order_and_tells_what_it_leaves_out() {
        let directory = tempfile::tempdir().expect("a directory");
        let top = directory.path();
        for name in ["b/2.mp4", "b/1.mp4", "a.mp4", "c/deep/x.mov", ".hidden/y.mp4", "b/.z"] {
            let path = top.join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(&path, name).expect("written");
        }
        std::os::unix::fs::symlink(top, top.join("c/round")).expect("a link");
        let named = [top.join("b/2.mp4"), top.to_owned(), top.join("none"), "/dev/null".into()];
        let found = harvest(&named);
        let names: Vec<_> = found.files.iter().map(|file| file.path.clone()).collect();
        let expected = ["b/2.mp4", "a.mp4", "b/1.mp4", "c/deep/x.mov"].map(|name| top.join(name));
        assert_eq!(names, expected);
        assert_eq!(found.files[1].size, 5);
        let skipped = found.skipped.join("\n");
        for word in [".hidden: skipped", "b/.z: skipped", "round: skipped, it is a link", "before"]
        {
            assert!(skipped.contains(word), "{word}: {skipped}");
        }
        let failed: Vec<_> = found.failed.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(failed, [top.join("none"), PathBuf::from("/dev/null")]);
    }
}
