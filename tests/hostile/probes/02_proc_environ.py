"""The environments of other processes: the server's and the worker's hold planted words."""

from probe import pids, steal

for pid in pids():
    steal(f"/proc/{pid}/environ")
    steal(f"/proc/self/task/{pid}/environ")
