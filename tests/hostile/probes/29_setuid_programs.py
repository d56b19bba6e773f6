"""Programs that run as somebody more: su, sudo, mount, and one of our own making."""

import glob, os, shutil, subprocess
from probe import FACTS, OUTSIDE, attempt, got, through

secret = FACTS["files"][0]
found = [
    p
    for folder in ("/usr/bin", "/usr/sbin", "/usr/lib/*", "/usr/libexec")
    for p in glob.glob(f"{folder}/*")
    if os.path.isfile(p) and os.stat(p).st_mode & 0o6000
]
for path in [] if OUTSIDE else found[:40]:
    attempt()
    try:
        done = subprocess.run(
            [path, "-n", "cat", secret] if "sudo" in path else [path, "-c", f"cat {secret}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=5,
            check=False,
        )
        got(path, done.stdout + done.stderr)
    except (OSError, subprocess.TimeoutExpired):
        pass
shutil.copy("/bin/cat", "own-cat")
attempt()
try:
    os.chmod("own-cat", 0o6755)
    if not OUTSIDE:
        got("own setuid", subprocess.run(["./own-cat", secret], capture_output=True, timeout=5, check=False).stdout)
finally:
    os.unlink("own-cat")
for number in (0, 1, 65534):
    attempt()
    if not OUTSIDE and os.getuid() != number:
        try:
            os.setuid(number)
            through(f"became user {number}")
        except OSError:
            pass
