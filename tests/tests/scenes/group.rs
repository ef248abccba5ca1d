//! A control group with a limit on memory, of either version: the machine of a small server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sekisho_lab::wait;

/// A group, removed when dropped.
pub struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes one whose processes may have so many bytes together.
    pub fn new(bytes: u64) -> Self {
        let name = format!("sekisho-scene-{}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory");
        let (root, file) =
            if first.is_dir() { (first, "memory.limit_in_bytes") } else { (Path::new("/sys/fs/cgroup"), "memory.max") };
        if file == "memory.max" {
            // Where it is not handed down already; a group that may not is told by the limit's file, which is then missing.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
        }
        let folder = root.join(name);
        fs::create_dir_all(&folder).expect("a control group; it needs root and a writable /sys/fs/cgroup");
        let group = Self { folder };
        fs::write(group.folder.join(file), bytes.to_string()).expect("a control group's limit on memory");
        group
    }

    /// The words before a command line that make it run in the group.
    pub fn words(&self) -> [String; 4] {
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.folder.display());
        ["sh".into(), "-c".into(), enter, "sh".into()]
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its last processes take a moment to go.
        let _ = wait::until("the group is empty", Duration::from_secs(5), || fs::remove_dir(&self.folder).is_ok());
    }
}
