//! Temporary directories.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::watchdog;

/// A directory of its own, removed when dropped or when the test process dies.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// A new empty directory below the system's temporary directory.
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("worker-test-")
            .tempdir()
            .expect("a temporary directory can be made");
        watchdog::adopt_dir(dir.path());
        Self { dir }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path inside the directory.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path().join(name)
    }

    /// Writes a file inside the directory and returns its path; parent directories are made.
    pub fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        let parent = path.parent().expect("the file is inside the directory");
        std::fs::create_dir_all(parent).expect("directories can be made in the scratch directory");
        std::fs::write(&path, content).expect("the scratch directory is writable");
        path
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is removed by the inner directory's own drop, after this line.
        watchdog::free_dir(self.path());
    }
}
