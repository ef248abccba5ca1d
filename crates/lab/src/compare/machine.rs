//! The machine in general terms: enough to judge figures by, nothing that would name it.

use std::fmt;
use std::fs;

/// What figures depend on most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The processor's name, as it gives it.
    pub processor: String,
    /// How many processors there are.
    pub processors: usize,
    /// Memory, in GiB.
    pub memory_gib: u64,
    /// The kernel's version, without what a builder put behind it.
    pub kernel: String,
    /// Whether it is a guest of another.
    pub is_virtual: bool,
}

impl Machine {
    /// This one. What cannot be read is told as unknown.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/cpuinfo"), &read("/proc/meminfo"), &read("/proc/sys/kernel/osrelease"))
    }

    fn parse(cpuinfo: &str, meminfo: &str, release: &str) -> Self {
        let value = |name: &str| {
            let found = cpuinfo.lines().find(|line| line.starts_with(name))?.split_once(':')?.1.trim();
            Some(found.to_owned())
        };
        let kib =
            meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
        Self {
            processor: value("model name").unwrap_or_else(|| "an unknown processor".into()),
            processors: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            memory_gib: kib.map_or(0, |kib: u64| (kib + 512 * 1024) >> 20),
            kernel: release.split(['-', '+']).next().unwrap_or_default().trim().into(),
            is_virtual: value("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_virtual { "a virtual machine" } else { "a machine" };
        let Self { processors, processor, memory_gib, kernel, .. } = self;
        write!(formatter, "{kind} with {processors} processors ({processor}), {memory_gib} GiB, Linux {kernel}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_machine() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu hypervisor avx\n\nprocessor\t: 1\n";
        let machine = Machine::parse(cpuinfo, "MemTotal:       24731900 kB\n", "6.18.3-cloud-amd64\n");
        assert_eq!(machine.to_string(), "a virtual machine with 2 processors (Some CPU), 24 GiB, Linux 6.18.3");
    }
}
