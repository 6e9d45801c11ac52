//! A file that is there whole or not at all, for this user alone.
//!
//! It is written without a name where the file system can do that, so that a killed command leaves
//! nothing, and else under a name beside its own. It gets its own name once the disk has confirmed
//! all of it.

use super::Failure;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is being written.
pub(super) struct WholeFile {
    file: File,
    path: PathBuf,
    directory: PathBuf,
    beside: PathBuf,
    has_name: bool,
    replaces: bool,
}

impl WholeFile {
    /// Begins the file at `path`, which mustn't be there unless it is to be replaced.
    ///
    /// # Errors
    /// Wrong usage if it is there, or isn't a file; the system's answer.
    pub(super) fn create(path: &Path, replaces: bool) -> Result<Self, Failure> {
        let shown = path.display();
        match fs::symlink_metadata(path) {
            Ok(about) if !about.is_file() => {
                return Err(Failure::usage(format!("{shown} is there and isn't a file")));
            }
            Ok(_) if !replaces => {
                let line = format!("{shown} is there already; --force replaces it");
                return Err(Failure::usage(line));
            }
            _ => {}
        }
        let Some(name) = path.file_name() else {
            return Err(Failure::usage(format!("{shown} isn't the name of a file")));
        };
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let name = format!(".{}.{}.tmp", name.to_string_lossy(), std::process::id());
        let beside = directory.join(name);
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let nameless = rustix::fs::open(&directory, flags, Mode::from_raw_mode(0o600));
        let (file, has_name) = match nameless {
            Ok(file) => (File::from(file), false),
            Err(_) => {
                let mut options = fs::OpenOptions::new();
                let made = options.write(true).create_new(true).mode(0o600).open(&beside);
                (made.map_err(|cause| Failure::other(format!("{shown}: {cause}")))?, true)
            }
        };
        Ok(Self { file, path: path.to_owned(), directory, beside, has_name, replaces })
    }

    /// Returns the file for writing.
    pub(super) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Has the disk confirm the file and gives it its name.
    ///
    /// # Errors
    /// The system's answer; also if somebody else has put a file there meanwhile.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        if !self.has_name {
            let open = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            rustix::fs::linkat(CWD, &open, CWD, &self.beside, AtFlags::SYMLINK_FOLLOW)?;
            self.has_name = true;
        }
        let flags = if self.replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        match rustix::fs::renameat_with(CWD, &self.beside, CWD, &self.path, flags) {
            // Not every file system can refuse to replace.
            Err(Errno::INVAL | Errno::NOSYS) if self.replaces || !self.path.exists() => {
                fs::rename(&self.beside, &self.path)?;
            }
            renamed => renamed?,
        }
        self.has_name = false;
        File::open(&self.directory)?.sync_all()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if self.has_name {
            // It is worthless; what can't be removed now lies there under a name that says so.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).expect("a directory");
        entries.map(|it| it.expect("one").file_name().to_string_lossy().into_owned()).collect()
    }

    /// A file has its name once it is whole, and nobody else may read it; one that breaks off
    /// leaves nothing, and one that is there stays unless it is to be replaced.
    #[test]
    fn a_file_is_whole_or_not_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.tar");
        let mut broken = WholeFile::create(&path, false).expect("begun");
        broken.file().write_all(b"half").expect("written");
        assert!(!path.exists());
        drop(broken);
        assert!(names(directory.path()).is_empty());

        let mut first = WholeFile::create(&path, false).expect("begun");
        let mut late = WholeFile::create(&path, false).expect("begun");
        first.file().write_all(b"first").expect("written");
        late.file().write_all(b"late").expect("written");
        first.finish().expect("in its place");
        let refused = late.finish().expect_err("somebody was faster");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("it is there"), b"first");
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let refused = WholeFile::create(&path, false).err().expect("it is there");
        assert_eq!(refused.exit_code, 2);
        let mut forced = WholeFile::create(&path, true).expect("begun");
        forced.file().write_all(b"second").expect("written");
        forced.finish().expect("in its place");
        assert_eq!(fs::read(&path).expect("it is there"), b"second");
        assert_eq!(names(directory.path()), ["a.tar"]);
        let refused = WholeFile::create(directory.path(), true).err().expect("no file");
        assert_eq!(refused.exit_code, 2);
    }
}
