//! Folders of a data directory: their owner alone may look into them, whatever the process lets others see of its files.
use std::fs::DirBuilder;
use std::io;
use std::path::Path;

/// Owner: everything; others: nothing.
#[cfg(unix)]
const MODE: u32 = 0o700;

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
        builder.mode(MODE);
    }
    builder.create(path)
}

#[cfg(all(test, unix))]
mod tests {
    use super::make_private_folder;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn others_see_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("data/journal");
        for _ in 0..2 {
            make_private_folder(&inner).unwrap();
        }
        for path in [&inner, &folder.path().join("data")] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
