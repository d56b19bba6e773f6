"""System calls that have been ways out: bpf, perf, userfaultfd, io_uring, modules, kexec, pidfd_getfd."""

from probe import OUTSIDE, attempt, libc, through

calls = {
    "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1),
    "userfaultfd": (323, 0),
    "io_uring_setup": (425, 1, 0),
    "init_module": (175, 0, 0, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "syslog": (103, 10, 0, 0),
    "kcmp": (312, 1, 1, 0, 0, 0),
    "add_key": (248, b"user", b"hw", b"x", 1, -3),
    "swapon": (167, 0, 0),
    "sethostname": (170, b"x", 1),
    "fanotify_init": (300, 0, 0),
    "acct": (163, 0),
    "setns": (308, 0, 0),
    "clone3": (435, 0, 0),
    "reboot": None,
}
for name, call in calls.items():
    attempt()
    if call is None or OUTSIDE:
        continue
    if libc.syscall(*call) >= 0:
        through(f"{name} works")
