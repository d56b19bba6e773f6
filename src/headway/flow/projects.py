"""Projects as they stand at a commit: headway.yaml read at the door, rules taken from the base branch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from headway.app import App
from headway.errors import NotFound, UsageError
from headway.flow.repos import forge_of, get_repo, git_at
from headway.forges.git import Git
from headway.forges.model import Change, Repo
from headway.pipelines.git_tree import TreeFiles, read_tree
from headway.pipelines.model import GitTree
from headway.projects.discover import check_names, find_configs, touched
from headway.projects.effective import edits, effective, pair_with_base
from headway.projects.model import ProjectSpec
from headway.projects.read import read_project

MERGE_CONTEXT = "headway"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAt:
    """One project of a repository at one commit, under the rules of its base."""

    spec: ProjectSpec  # effective
    head: ProjectSpec
    base: ProjectSpec | None
    head_tree: GitTree
    base_tree: GitTree
    notes: tuple[str, ...] = ()
    is_touched: bool = True


def projects_at(app: App, repo_id: str, *, head: str, base: str) -> list[ProjectAt]:
    """Return every project at `head`; with `base` equal to it, its own rules hold.

    Raises:
        ConfigError: a headway.yaml is wrong; every error of the file is in the message.
    """
    git = git_at(app, repo_id, head)
    head_tree = read_tree(git.directory, head)
    base_tree = head_tree if base == head else read_tree(git.directory, base)
    changed = git.changed_files(git.merge_base(base, head) or base, head) if base != head else ()
    at_head = _specs(git, head_tree)
    if base == head:
        return [_own(git, spec, head_tree) for spec in at_head]
    paired = pair_with_base(at_head, _specs(git, base_tree))
    # A project that the change takes away keeps its gates until the removal is merged by somebody who may.
    concerned = {spec.root for spec in touched(at_head, changed)}
    found = []
    for spec, before in paired.pairs:
        whole = effective(spec, before)
        found.append(
            ProjectAt(
                spec=_with_template(git, whole, base_tree),
                head=spec,
                base=before,
                head_tree=head_tree,
                base_tree=base_tree,
                notes=tuple(str(edit) for edit in edits(spec, before)),
                is_touched=spec.root in concerned,
            ),
        )
    check_names([each.spec for each in found])
    return found


def removed_projects(app: App, repo_id: str, *, head: str, base: str) -> tuple[str, ...]:
    """Return the names of the base branch's projects that a change takes away: they block its merge."""
    git = git_at(app, repo_id, head)
    bases = _specs(git, read_tree(git.directory, base))
    return tuple(spec.name for spec in pair_with_base(_specs(git, read_tree(git.directory, head)), bases).removed)


def _own(git: Git, spec: ProjectSpec, tree: GitTree) -> ProjectAt:
    return ProjectAt(spec=_with_template(git, spec, tree), head=spec, base=None, head_tree=tree, base_tree=tree)


def _specs(git: Git, tree: GitTree) -> list[ProjectSpec]:
    files = TreeFiles(git.directory, tree)
    specs = [read_project(files[path], path=path) for path in find_configs(files)]
    check_names(specs)
    return specs


def _with_template(git: Git, spec: ProjectSpec, base_tree: GitTree) -> ProjectSpec:
    if spec.report.template is None:
        return spec
    prefix = f"{spec.root}/" if spec.root else ""
    text = git.read_file(base_tree.commit, prefix + spec.report.template)
    if text is None:
        return spec
    return replace(spec, report=replace(spec.report, template_text=text.decode("utf-8", "replace")))


def project_files(git_dir: Path, tree: GitTree, root: str) -> Mapping[str, bytes]:
    """Return the files below a project's folder, read when asked for."""
    return TreeFiles(git_dir, tree, root)


def chosen(projects: list[ProjectAt], name: str | None) -> list[ProjectAt]:
    """Return the project of that name, or those that the change touches.

    Raises:
        NotFound: there is no such project, or none at all.
    """
    names = ", ".join(project.spec.name for project in projects)
    if not projects:
        raise NotFound("there is no headway.yaml at this commit", hint="headway init writes one")
    if name is None:
        return [project for project in projects if project.is_touched] or projects
    found = [project for project in projects if project.spec.name == name]
    if not found:
        raise NotFound(f"no project {name!r} at this commit", cause=f"these are there: {names}")
    return found


def aliases(app: App, repo_id: str, base_sha: str) -> dict[str, str]:
    """Return the team's own words of every project, as the base branch has them."""
    found: dict[str, str] = {}
    try:
        for project in projects_at(app, repo_id, head=base_sha, base=base_sha):
            found |= project.spec.commands
    except UsageError:
        # A broken file on the base branch must not make comments unreadable: the command will tell of it.
        return {}
    return found


def contexts_for(app: App, change: Change) -> tuple[str, ...]:
    """Return the statuses that must be green before a change may be merged."""
    head, base = change.head_sha, change.base_sha
    names = [each.spec.name for each in projects_at(app, change.repo_id, head=head, base=base) if each.is_touched]
    names += removed_projects(app, change.repo_id, head=head, base=base)
    return tuple(f"{MERGE_CONTEXT}/{name}" for name in names)


def resolve(app: App, repo: Repo, ref: str) -> str:
    """Return the commit that a branch of the repository stands at, or a full commit name itself.

    Raises:
        NotFound: there is no such branch or commit.
    """
    if len(ref) in (40, 64):
        forge_of(app, repo.id).fetch(repo.id, ref)
        return ref
    if app.github is not None and repo.forge == app.github.name:
        return app.github.branch_tip(repo.id, ref)
    git = Git(Path(_git_dir(app, repo)))
    sha = git.branch_head(ref)
    if sha is None:
        raise NotFound(f"no branch {ref!r} in {repo.name}", hint="git branch lists them")
    return sha


def tip_of(app: App, repo_id: str, branch: str) -> str | None:
    """Return the commit that a branch stands at now, readable on this disk; None when there is no such branch."""
    try:
        tip = resolve(app, get_repo(app, repo_id), branch)
    except NotFound:
        return None
    git_at(app, repo_id, tip)
    return tip


def default_tip(app: App, repo_id: str) -> str | None:
    """Return the commit that the default branch stands at now; what a mirror keeps knows of no branch."""
    return tip_of(app, repo_id, get_repo(app, repo_id).default_branch)


def readable_projects(app: App, repo_id: str, sha: str) -> list[ProjectAt]:
    """Return the projects of a commit under its own rules; none when a headway.yaml of it cannot be read."""
    try:
        return projects_at(app, repo_id, head=sha, base=sha)
    except UsageError:
        return []


def _git_dir(app: App, repo: Repo) -> str:
    place = Path(get_repo(app, repo.id).location)
    return str(place / ".git" if (place / ".git").exists() else place)
