//! Files of our own, written so that they are on disk when the call returns and a crash never leaves half of one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The text of a file; `None` if there is none.
///
/// # Errors
/// When it is there but cannot be read.
pub fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Writes a file, making its folder where needed, or removes it (`None`).
///
/// # Errors
/// What the system said.
pub fn set(path: &Path, text: Option<&str>) -> io::Result<()> {
    match text {
        Some(text) => write(path, text.as_bytes()),
        None => remove(path),
    }
}

/// Writes beside the file, lets that reach the disk, and puts it in the file's place: so a crash at any moment leaves the old text or
/// the new. The folder has to reach the disk too, since the name is in there.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder(path);
    fs::create_dir_all(folder)?;
    let beside = beside(path);
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    sync(folder)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync(folder(path)),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name that no reader of the folder takes for a setting: it ends neither in .conf nor in .json.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".sekisho-new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_replaced_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er/90-x.conf");
        assert_eq!(read(&path).unwrap(), None);
        set(&path, Some("a = 1\n")).unwrap();
        set(&path, Some("a = 2\n")).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("a = 2\n"));
        assert_eq!(fs::read_dir(folder.path().join("deep/er")).unwrap().count(), 1, "nothing is left beside it");
        set(&path, None).unwrap();
        set(&path, None).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
