"""The daily verbs on one tiny repository, by hand as it were."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys


def test_init_looks_and_writes_four_lines(alone) -> None:
    (alone.folder / "train.py").write_text(
        'import json\nif __name__ == "__main__":\n    json.dump({"val_auc": 1}, open("metrics.json", "w"))\n'
    )
    done = alone("init")
    assert done.out == "Wrote headway.yaml (4 lines). Nothing else was changed.\n"
    assert "val_auc" in done.err
    assert "git init" in done.err  # the next step, since there is no repository yet
    assert alone("config", "validate").out.startswith("headway.yaml is valid: project here, 1 step, 1 gate")
    again = alone("init", code=1)
    assert "error: headway.yaml is there already" in again.err
    assert "hint:  headway config validate, or headway init --force" in again.err


def test_train_prints_the_report_on_standard_output_and_progress_on_standard_error(headway) -> None:
    done = headway("train")
    assert "✅ tiny: passed" in done.out, "there is nothing to merge"
    assert "▶ job #" in done.err
    assert "Commands: headway train · headway plan" in done.out, "as it is typed here; nothing says how to deploy"


def test_another_value_is_tried_and_told_and_decides_nothing(headway) -> None:
    done = headway("train", "--set", "lr=0.2")
    assert "step 0 red" in done.err  # the log, without its escape sequence
    assert "\x1b" not in done.out + done.err
    said = " ".join(done.out.split())
    assert "❔ tiny: gates passed, but trained with lr=0.2; headway.yaml of this commit says 0.1" in said
    assert "did you mean 'lr'" in headway("train", "--set", "lrr=3", code=2).err
    assert "did you mean 'lr'" in headway("plan", "--set", "lrr=3", code=2).err


def test_a_dirty_tree_is_trained_as_it_lies_and_stays_as_it_was(headway) -> None:
    script = headway.folder / "train.py"
    before = script.read_text()
    script.write_text(before + "\n# an edit\n")
    try:
        found = headway("train", "--json").json
        assert found[0]["job"]["branch"] == "main+dirty"
        assert found[0]["result"]["verdict"]["outcome"] == "pass"
        assert headway.git("status", "--porcelain") == "M train.py"
    finally:
        script.write_text(before)


def test_what_is_trained_is_answered_without_running(headway) -> None:
    assert "already trained" in headway("train", "main").out
    plan = headway("plan").out
    assert "reuse" in plan
    assert "Already trained: nothing has to run." in plan
    found = headway("train", "--dry-run", "--json").json
    assert [task["action"] for task in found[0]["tasks"]] == ["reuse"]


def test_a_failed_gate_leaves_with_3_and_says_so_in_both_languages(headway) -> None:
    done = headway("train", "--set", "lr=-9", "--json", code=3)
    assert done.json[0]["result"]["verdict"]["outcome"] == "fail"  # the one document on standard output
    assert json.loads(done.err)["code"] == "GATE_FAILED"
    number = str(done.json[0]["job"]["number"])
    gate = headway("gate", number, code=3)
    assert "floor" in gate.out
    assert f"hint:  headway report {number}" in gate.err
    assert headway("gate", number, "--json", code=3).json["outcome"] == "fail"
    assert headway("gate", "1", "--json").json["outcome"] == "pass"


def test_a_crash_leaves_with_1_and_its_reason(headway) -> None:
    done = headway("train", "--set", "lr=666", code=1)
    assert "no such number" in done.out
    assert "error: job #" in done.err
    assert "cause: " in done.err
    number = done.err.partition("job #")[2].partition(" ")[0]
    again = headway("retry", number, "--json", code=1)
    assert again.json[0]["job"]["state"] == "failed"
    assert "no result to reproduce" in headway("reproduce", number, code=1).err


def test_detach_stop_and_logs(headway, waiting) -> None:
    shown = headway("train", "--set", "steps=900", "--detach", "--json").json
    number = str(shown["jobs"][0]["number"])
    waiting(lambda: "step 1 red" in headway("logs", number).out, "the first lines")
    watching = headway.start("logs", number, "--follow")
    stopped = headway("stop", f"#{number}")
    assert f"Stopping job #{number}" in stopped.out
    out, _ = watching.communicate(timeout=60)  # ends by itself with the job
    assert out.startswith("step 0 red\n")
    assert headway("jobs", "show", number, "--json").json["job"]["state"] == "cancelled"
    assert "has ended already: it was cancelled" in headway("stop", number, code=1).err
    assert headway("logs", number, "--tail", "1", "--json").json["lines"] == [
        out.splitlines()[-1].replace("red", "\x1b[31mred\x1b[0m")
    ]


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(headway, waiting) -> None:
    process = headway.start("train", "--set", "steps=901")
    line = process.stderr.readline()
    number = line.partition("#")[2].partition(" ")[0]
    waiting(lambda: headway("jobs", "show", number, "--json").json["job"]["state"] == "running", "the job's start")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"headway logs {number} -f" in err
    assert headway("jobs", "show", number, "--json").json["job"]["state"] == "running"
    headway("stop", number)


def test_a_script_runs_without_a_headway_yaml_for_it(headway) -> None:
    (headway.folder / "other.py").write_text(
        "import sys, json\nprint(sys.argv[1:])\njson.dump({'n': 1}, open('metrics.json', 'w'))\n"
    )
    try:
        assert "would run: python other.py" in headway("run", "other.py", "--dry-run").out
        found = headway("run", "other.py", "-P", "lr=0.5", "--json", "--", "--deep", "a b").json
        job = found[0]["job"]
        assert (job["project"], job["branch"]) == ("other-script", "main+other.py")
        assert found[0]["metrics"] == {"n": 1}
        assert headway("logs", str(job["number"])).out == "['--lr', '0.5', '--deep', 'a b']\n"
        assert headway.git("status", "--porcelain") == "?? other.py"  # nothing else was written
        sub = headway.folder / "sub"
        sub.mkdir()
        shutil.move(headway.folder / "other.py", sub / "deeper.py")
        below = headway("run", "deeper.py", "--json", cwd=sub).json
        assert (below[0]["job"]["project"], below[0]["job"]["state"]) == ("deeper-script", "succeeded")
        assert "lies outside this folder" in headway("run", "../train.py", cwd=sub, code=2).err
    finally:
        headway.git("clean", "-q", "-f", "-d")
    missing = headway("run", "other.py", code=5)
    assert "there is no script other.py" in missing.err


def test_reproduce_runs_a_good_job_again(headway) -> None:
    run = headway("jobs", "show", "1", "--json").json["tasks"][0]["run_id"]
    found = headway("reproduce", run[:8], "--json").json
    assert found[0]["tasks"][0]["state"] == "succeeded"  # not reused
    assert found[0]["job"]["commit"] == headway("jobs", "show", "1", "--json").json["job"]["commit"]


def test_jobs_reports_and_differences(headway) -> None:
    rows = headway("jobs", "list", "--state", "succeeded", "--limit", "50", "--json").json
    assert {row["job"]["state"] for row in rows} == {"succeeded"}
    assert headway("jobs", "-n", "1", "--json").json[0]["job"]["number"] >= rows[0]["job"]["number"]
    assert "#1" in headway("jobs", "list", "--limit", "100").out
    assert "no jobs match" in headway("jobs", "list", "--branch", "nowhere").err
    assert "verdict   pass" in headway("jobs", "show", "1").out
    assert headway("report", "1", "--markdown").out.startswith("<!-- headway:report project=tiny")
    assert headway("report", "1", "--json").json["project"] == "tiny"
    number = str(headway("train", "--set", "lr=0.4", "--json").json[0]["job"]["number"])
    diff = headway("diff", number, "1")
    assert "better" in diff.out
    assert "params    lr 0.1 → 0.4" in diff.out
    assert headway("diff", number, "1", "--json").json["other"] == 1


def test_ci_carries_out_one_command_of_the_commit_that_it_builds(headway) -> None:
    sha = headway.git("rev-parse", "HEAD")
    done = headway("ci", "--json", GITHUB_SHA=sha, GITHUB_REF_NAME="main", CI="true")
    assert done.json[0]["job"]["commit"] == sha
    assert headway("ci", "--comment", "/train lr=-9", "--sha", sha, code=3).err.count("error: ") == 1
    assert "is no command" in headway("ci", "--comment", "hello", code=2).err


def test_a_person_at_a_terminal_sees_one_live_line(headway) -> None:
    """On a pseudo-terminal the state is drawn over itself; NO_COLOR takes the colours of errors away."""
    master, slave = pty.openpty()
    words = [sys.executable, "-m", "headway.cli.main", "train", "--set", "lr=666"]
    environment = headway.environment(TERM="xterm", NO_COLOR="1")
    process = subprocess.Popen(words, cwd=headway.folder, env=environment, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said = bytearray()
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(master)
    assert process.wait(timeout=60) == 1
    text = said.decode()
    assert "\r\x1b[2K" in text
    assert "\x1b[31m" not in text
    assert "error: job #" in text
