"""What /sys and /proc/sys tell and let change: machine ids, cgroups, the kernel's own doors."""

import glob, os
from probe import OUTSIDE, attempt, steal, through

for path in (
    "/sys/class/dmi/id/product_uuid",
    "/sys/kernel/security",
    "/sys/firmware",
    "/sys/class/net",
    "/sys/fs/cgroup",
    "/proc/sched_debug",
    "/proc/kcore",
    "/proc/kallsyms",
    "/etc/machine-id",
    "/proc/net/arp",
):
    attempt()
    if path != "/proc/kcore":
        steal(path)
for path in (
    "/proc/sysrq-trigger",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/kernel/hostname",
    "/sys/kernel/uevent_helper",
    "/proc/kcore",
    *glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True)[:5],
    "/sys/fs/cgroup/cgroup.procs",
    "/proc/1/oom_score_adj",
):
    attempt()
    if not OUTSIDE:
        try:
            os.close(os.open(path, os.O_RDONLY if "kcore" in path else os.O_WRONLY))
        except OSError:
            continue
        if path != "/proc/1/oom_score_adj":
            through(f"{path} opens")
