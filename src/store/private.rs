//! Folders and files with data of patients: their owner alone may look into them, whatever the process lets others see of
//! what it makes.
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Owner: everything; others: nothing.
#[cfg(unix)]
const FOLDER_MODE: u32 = 0o700;
#[cfg(unix)]
const FILE_MODE: u32 = 0o600;

/// Makes a folder, with those that lead to it, if it is not there; one that is there stays as it is.
///
/// # Errors
/// Of the operating system.
pub fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(FOLDER_MODE);
    }
    builder.create(path)
}

/// Makes an empty file to write to, in the place of one that may be there.
///
/// # Errors
/// Of the operating system.
pub fn make_private_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, FILE_MODE);
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::{make_private_file, make_private_folder};
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn others_see_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("data/journal");
        for _ in 0..2 {
            make_private_folder(&inner).unwrap();
        }
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inner), mode(&folder.path().join("data"))), (0o700, 0o700));
        let file = inner.join("file");
        make_private_file(&file).unwrap();
        assert_eq!(mode(&file), 0o600);
    }
}
