//! Memory and open files that the machine or the container grants. Read from Linux' files once
//! at the start; unknown elsewhere.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Memory in bytes: the smallest of the physical memory and the limits of the process's
/// control groups (version 1 and 2). `None` if the system does not report it.
pub(super) fn memory() -> Option<u64> {
    memory_below(Path::new("/"))
}

/// The number of files and sockets that the process may have open, after raising the soft
/// limit to the hard limit: many shells start with 1,024. `None` if there is no limit or none
/// is reported.
pub(super) fn open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If the system refuses it, the old limit remains.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
    getrlimit(Resource::Nofile).current
}

fn memory_below(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let (mount, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        smallest_upwards(&root.join(mount), path, file)
    });
    limits.chain(built_in(root)).min()
}

/// A group is also subject to the limit of each group above it. In a container the path may be
/// the one outside, of which only the root is visible here.
fn smallest_upwards(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let group = mount.join(path.trim_start_matches('/'));
    let groups = group.ancestors().take_while(|group| group.starts_with(mount));
    groups.filter_map(|group| number(&group.join(file))).min()
}

/// Reads a limit. `max`, and anything else that is not a number, means no limit.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn built_in(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = root.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        memory_below(root.path())
    }

    const MEMINFO: (&str, &str) = ("proc/meminfo", "MemTotal:        1024 kB\nMemFree: 1 kB\n");

    #[test]
    fn version_2_the_smallest_limit_on_the_way_up_holds() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/kubepods/pod1/container\n"),
            ("sys/fs/cgroup/kubepods/pod1/container/memory.max", "max\n"),
            ("sys/fs/cgroup/kubepods/pod1/memory.max", "300000\n"),
            ("sys/fs/cgroup/kubepods/memory.max", "400000\n"),
        ];
        assert_eq!(machine(&files), Some(300_000));
    }

    #[test]
    fn version_1_the_memory_controller_is_asked() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "7:cpu,cpuacct:/a\n4:memory:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "200000\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(machine(&files), Some(200_000));
    }

    #[test]
    fn in_a_container_that_sees_only_its_own_group_its_limit_is_at_the_top() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "4:memory:/docker/abc\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "100000\n"),
        ];
        assert_eq!(machine(&files), Some(100_000));
    }

    #[test]
    fn without_a_limit_it_is_the_memory_that_is_built_in() {
        assert_eq!(machine(&[MEMINFO, ("proc/self/cgroup", "0::/\n")]), Some(1 << 20));
        assert_eq!(machine(&[MEMINFO]), Some(1 << 20));
        assert_eq!(machine(&[]), None);
        assert!(cfg!(not(target_os = "linux")) || memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
