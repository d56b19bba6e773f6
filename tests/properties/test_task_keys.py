"""Equal inputs give equal keys in any order; any relevant change gives another; the rest changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headway.environments.model import EnvKind, EnvSpec
from headway.pipelines.code import code_digest, code_files
from headway.pipelines.model import GitTree, TaskSpec, TreeEntry
from headway.planning.keys import exact_key, input_digest, static_key
from headway.planning.model import OutputFile
from headway.projects.model import Resources

names = st.text("abcdefghij_", min_size=1, max_size=6)
words = st.text(max_size=8)
values = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), words)
digests = st.text("0123456789abcdef", min_size=8, max_size=8)


@st.composite
def specs(draw: st.DrawFn) -> TaskSpec:
    return TaskSpec(
        name=draw(names),
        argv=tuple(draw(st.lists(words, min_size=1, max_size=4))),
        commit=draw(digests),
        root=draw(names),
        env=EnvSpec(digest=draw(digests), kind=EnvKind.UV_LOCK, python="3.11"),
        code_digest=draw(digests),
        inputs=tuple(draw(st.lists(names, max_size=3, unique=True))),
        data=draw(st.dictionaries(names, words, max_size=3)),
        outputs=tuple(draw(st.lists(names, max_size=3, unique=True))),
        params=draw(st.dictionaries(names, values, max_size=4)),
        variables=draw(st.dictionaries(names, words, max_size=3)),
        secrets=tuple(draw(st.lists(names, max_size=2, unique=True))),
        seed=draw(st.none() | st.integers(0, 2**40)),
        scope=draw(names),
    )


def backwards(mapping: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(list(mapping.items())))


@given(specs(), st.randoms(use_true_random=False))
def test_order_commit_and_limits_do_not_matter(spec: TaskSpec, random: Any) -> None:
    def shuffled(items: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(random.sample(items, len(items)))

    other = replace(
        spec,
        commit=spec.commit + "0",
        inputs=shuffled(spec.inputs),
        outputs=shuffled(spec.outputs),
        secrets=shuffled(spec.secrets),
        data=backwards(spec.data),
        params=backwards(spec.params),
        variables=backwards(spec.variables),
        timeout=timedelta(seconds=random.randint(1, 10**6)),
        retries=random.randint(0, 9),
        needs=("something",),
        resources=Resources(cpus=3, memory_mb=1, disk_mb=1, processes=9),
    )
    assert static_key(other) == static_key(spec)
    digests_of_inputs = {path: str(number) for number, path in enumerate(sorted(spec.inputs))}
    assert exact_key(other, backwards(digests_of_inputs)) == exact_key(spec, digests_of_inputs)


@given(specs(), specs())
def test_two_tasks_have_one_key_only_if_nothing_relevant_differs(one: TaskSpec, other: TaskSpec) -> None:
    def relevant(spec: TaskSpec) -> Any:
        return (
            spec.name,
            spec.argv,
            spec.root,
            spec.env.digest,
            spec.code_digest,
            sorted(spec.inputs),
            spec.data,
            sorted(spec.outputs),
            {name: (type(value), repr(value)) for name, value in spec.params.items()},
            spec.variables,
            sorted(spec.secrets),
            spec.seed,
            spec.scope,
        )

    assert (static_key(one) == static_key(other)) == (relevant(one) == relevant(other))


@given(specs(), st.sampled_from(["argv", "params", "data", "variables", "code_digest", "env", "seed", "scope"]), names)
def test_any_relevant_field_changes_the_key(spec: TaskSpec, field: str, salt: str) -> None:
    changed = {
        "argv": (*spec.argv, salt),
        "params": {**spec.params, f"{salt}!": 1},
        "data": {**spec.data, f"{salt}!": "u@1"},
        "variables": {**spec.variables, f"{salt}!": "1"},
        "code_digest": spec.code_digest + "0",
        "env": replace(spec.env, digest=spec.env.digest + "0"),
        "seed": (spec.seed or 0) + 1,
        "scope": spec.scope + salt,
    }
    assert static_key(replace(spec, **{field: changed[field]})) != static_key(spec)


@given(st.dictionaries(names, digests, min_size=1, max_size=5), names)
def test_the_digest_of_an_input_follows_its_files_and_not_their_order(files: dict[str, str], place: str) -> None:
    outputs = [OutputFile(path=f"{place}/{path}", digest=digest, size=1) for path, digest in files.items()]
    assert input_digest(place, outputs) == input_digest(place, outputs[::-1])
    changed = [replace(outputs[0], digest=outputs[0].digest + "0"), *outputs[1:]]
    assert input_digest(place, changed) != input_digest(place, outputs)
    elsewhere = OutputFile(path=f"{place}x/y", digest="1", size=1)
    assert input_digest(place, [*outputs, elsewhere]) == input_digest(place, outputs)


@given(st.dictionaries(names.map(lambda name: f"{name}.py"), digests, min_size=1, max_size=6), digests)
def test_a_readme_or_the_gates_changed_is_no_change_of_code(files: dict[str, str], blob: str) -> None:
    def digest(listing: dict[str, str]) -> str:
        entries = {path: TreeEntry(mode="100644", blob=each, size=1) for path, each in listing.items()}
        tree = GitTree(commit="c", tree="t", entries=entries)
        return code_digest(code_files(tree, root="", not_code=("headway.yaml", "uv.lock")))

    ignored = {"README.md": blob, "headway.yaml": blob, "docs/guide.md": blob, ".github/workflows/ci.yml": blob}
    assert digest({**ignored, **files}) == digest(files) == digest(backwards(files))
    path = min(files)
    assert digest({**files, path: files[path] + "0"}) != digest(files)
