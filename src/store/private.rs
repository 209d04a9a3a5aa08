//! Creates folders and files for patient data. Only their owner can access them, whatever the umask of the process allows
//! others.
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// The owner may do everything, others nothing.
#[cfg(unix)]
const FOLDER_MODE: u32 = 0o700;
#[cfg(unix)]
const FILE_MODE: u32 = 0o600;

/// Creates a folder and its parents if they are missing. Existing folders keep their permissions.
///
/// # Errors
/// The error of the operating system.
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

/// Creates an empty file for writing, or truncates an existing one. An existing file keeps its permissions.
///
/// # Errors
/// The error of the operating system.
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
