"""A plan as Markdown: each task, run or reuse, and why."""

from __future__ import annotations

from headway.planning.estimate import plan_seconds
from headway.planning.model import Action, Plan
from headway.reports.escape import inline
from headway.reports.numbers import duration, money

_WORDS = {Action.RUN: "▶ run", Action.REUSE: "♻ reuse", Action.DECIDE_LATER: "… decide later"}


def plan_text(plan: Plan, notes: tuple[str, ...]) -> str:
    """Return the table that answers `/plan`."""
    running = [task for task in plan.tasks if task.action is not Action.REUSE]
    seconds = plan_seconds(plan)
    total = "time not known yet" if seconds is None else f"about {duration(seconds)}"
    if plan.is_all_reused:
        head = f"**{plan.project.name}** at `{plan.commit[:7]}`: already trained, nothing has to run"
    else:
        head = f"**{plan.project.name}** at `{plan.commit[:7]}`: {len(running)} of {len(plan.tasks)} steps run, {total}"
    lines = [head, "", "| Step | | Why | Time | Cost |", "|:--|:--|:--|--:|--:|"]
    for task in plan.tasks:
        time = duration(task.expected_seconds) if task.expected_seconds is not None else "–"
        cost = money(task.expected_cost, plan.project.engine.currency) if task.expected_cost is not None else "–"
        lines.append(f"| {task.spec.name} | {_WORDS[task.action]} | {inline(task.why)} | {time} | {cost} |")
    lines += ["", f"Plan `{plan.id[:12]}` · nothing was started · `/train` does it"]
    return "\n".join([*lines, *(f"> {inline(note)}" for note in notes)])
