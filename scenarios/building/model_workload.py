"""A model as the workload of a scenario: read, laid on the system, built as an op graph.

Model: `workload.parallel` says how many chips share each kind of work; the mesh of the system follows from it, innermost
axis first. Data parallelism is what the others leave of the system's chips unless it is said. What can be done with a
model is one table, `scenarios.language.model_spec.MODES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hw import Problem, Problems, SpecError, System
from hw.input import Document, Key, nearest, unknown
from hw.systems import Built, folder_of, mesh_problems
from scenarios.building.idle_keys import Laid, idle_keys
from scenarios.building.sections import Section
from scenarios.language.model_spec import DEFAULT_MODE, MODES, OF_ANY_MODEL, Mode, ParallelSpec, RecomputedBlocks
from scenarios.language.scenario_spec import OF_OPS, WorkloadSpec
from simulator import OpGraph

if TYPE_CHECKING:
    from scenarios.models import LoadedModel
    from simulator import Parallel
    from simulator.models import Sample

_AT = ("workload",)
_WAYS = ("tp", "pp", "cp", "ep")
"""Kinds of parallelism that are 1 where they are not said."""

_GOES_BY: Mapping[str, str] = {"chunk": "seq"}
"""Keys that are right or wrong by what another one says."""

_OF_MODELS = tuple(key for key in WorkloadSpec.model_fields if key not in OF_OPS)

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class ModelRun:
    """A model that is run: what it is, what is done with it, and how it lies on the chips. `how` is the record of its mode;
    `is_left`: whether its replicas are what was left of the system's chips; `notes`: what its reader should know."""

    model: LoadedModel
    mode: str
    parallel: Parallel
    how: Any
    is_left: bool
    notes: tuple[str, ...] = ()

    @property
    def sample(self) -> Sample:
        """What one of its batch is."""
        from simulator.models import sample_of  # late: most runs are of no model

        return sample_of(self.model.description, getattr(self.how, "seq", 0))

    @property
    def samples(self) -> int:
        """Sequences, images or graphs of one run, of all replicas together."""
        return int(self.how.batch)

    @property
    def tokens(self) -> int:
        """Tokens of one run, of all replicas together; 0 of a model that reads none."""
        return int(self.how.tokens) or self.samples * self.sample.tokens

    def __repr__(self) -> str:
        of = f"{self.samples} {self.sample.name}s" if not self.tokens else f"{self.tokens} tokens"
        return f"ModelRun({self.mode} {self.model.name}, {of} on {self.parallel.chips} chips)"


def has_model(document: Document) -> bool:
    """Whether the workload of a scenario is a model."""
    workload = document.data.get("workload")
    return isinstance(workload, dict) and workload.get("model") is not None


def check_plain(document: Document, problems: Problems) -> None:
    """Refuse what only goes with a model in a workload that has none."""
    workload = document.data.get("workload")
    if not isinstance(workload, dict) or "ops" not in workload:
        return
    for key in workload:
        if key in _OF_MODELS:
            problems.add(document.key_mark((*_AT, key)), f"{key} is of a model, and workload.model is missing")


def build_model(
    written: Section, document: Document, path: Path, built: Built, problems: Problems
) -> tuple[OpGraph | None, System, ModelRun | None]:
    """The graph of what is done with a model, the system under the mesh that its parallelism means, and what it is. What
    is wrong is added to the problems, and the graph is None then."""
    reader = _Reader(document, problems)
    before = len(problems.found)
    mode = reader.mode()
    loaded = reader.model(path)
    # what is wrong in itself has been told; the other keys are looked at all the same
    spec: WorkloadSpec | None = written.spec
    parallel = reader.parallel(spec.parallel, built, written) if spec is not None else None
    how = reader.how(mode, spec, loaded, written) if mode is not None and spec is not None else None
    # what the step itself is wrong about is told beside what is wrong with its mesh
    sound = len(problems.found) == before
    system = built.system
    if parallel is not None and built.wired:
        system = reader.laid(parallel, system)
    if mode is None or loaded is None or parallel is None or how is None or spec is None or not written.sound:
        return None, system, None
    if not sound or not built.wired:
        return None, system, None
    laid = Laid(loaded.description, document.data["workload"].get("mode", DEFAULT_MODE), parallel, how)
    if "microbatch" not in spec.parallel.model_fields_set:
        parallel = _of_whole_batches(parallel, loaded, how)
    graph = reader.tried(lambda: mode.graph(loaded.description, parallel, how))
    if len(problems.found) > before:
        return None, system, None
    if graph is not None and "fuse" in spec.model_fields_set:
        graph = replace(graph, fuse=spec.fuse)
    notes = (*loaded.notes, *idle_keys(laid))
    run = ModelRun(loaded, laid.mode, parallel, how, spec.parallel.dp is None, notes)
    return graph, system, run


def _beside_dp(ways: Mapping[str, int], chips: int) -> str:
    """What `dp` should be where it seems to count the chips that share experts too, as it does elsewhere."""
    others = math.prod(count for name, count in ways.items() if name != "dp")
    if "ep" not in ways or chips % others:
        return ""
    return f"; ep lies beside dp, not inside it: dp {chips // others} fills it"


def _of_whole_batches(parallel: Parallel, loaded: LoadedModel, how: Any) -> Parallel:
    """Of images and graphs a replica computes all of its batch at once where nothing else is said: nobody trains a
    convolution stack image by image. Sequences are long, and a pipeline wants microbatches."""
    from simulator.models import sample_of

    sample = sample_of(loaded.description, getattr(how, "seq", 0))
    if sample.name == "sequence" or parallel.pp > 1 or how.batch % parallel.dp:
        return parallel
    return replace(parallel, microbatch=how.batch // parallel.dp)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the parts of a model's workload; each on its own, so that one mistake hides no other."""

    document: Document
    problems: Problems

    def add(self, key: str, message: str) -> None:
        """Say what is wrong with a key of the workload."""
        self.problems.add(self.document.value_mark((*_AT, key)), message)

    def tried(self, make: Callable[[], Made]) -> Made | None:
        """What a function makes; None after adding its problems, each at the key that it is about."""
        try:
            return make()
        except SpecError as error:
            for each in error.problems:
                self.problems.found.append(self._placed(each))
            return None

    def _placed(self, problem: Problem) -> Problem:
        """A problem whose mark names a key below `workload`, at that key's place."""
        key: Key = (*_AT, *problem.mark.file.split("."))
        return Problem(self.document.value_mark(key), problem.message)

    def mode(self) -> Mode | None:
        """What is done with the model, after checking which keys are there."""
        workload = self.document.data["workload"]
        for key in workload:
            if key in OF_OPS and key != "fuse":
                where = self.document.key_mark((*_AT, key))
                self.problems.add(where, f"{key} is for ops that are written out; a model makes its own")
        given = workload.get("mode", DEFAULT_MODE)
        mode = MODES.get(given) if isinstance(given, str) else None
        if mode is None:
            self.add("mode", unknown("mode", str(given), MODES))
            given = nearest(str(given), MODES)
            if given is None:
                return None
            mode = MODES[given]  # the keys beside it are looked at as those of the mode that was meant
        for key in workload:
            if key in _OF_MODELS and key not in (*OF_ANY_MODEL, *mode.keys):
                of = " and ".join(name for name, each in MODES.items() if key in each.keys)
                self.problems.add(self.document.key_mark((*_AT, key)), f"{given} has no {key}; it is of {of}")
        if "fuse" in workload:
            self._fuse(workload["fuse"], given)
        return mode

    def _fuse(self, asked: object, mode: str) -> None:
        """Refuse to fuse a model's ops in another way than its own or not at all, or to part what a step keeps by."""
        if asked != "none":
            self.add("fuse", "a model makes its own kernels; fuse: none makes each of its ops one")
        elif mode == DEFAULT_MODE:
            self.problems.add(
                self.document.key_mark((*_AT, "fuse")), "what a training step keeps goes by its own kernels"
            )

    def model(self, path: Path) -> LoadedModel | None:
        """The model that is named, or written inline."""
        key = (*_AT, "model")
        from scenarios.models import read_model  # late: most runs are of no model

        return read_model(self.document, key, self.problems, folder_of(self.document.value_mark(key), path.parent))

    def parallel(self, spec: ParallelSpec, built: Built, written: Section) -> Parallel | None:
        """The parallelism, with the replicas that are left of a system that is known."""
        from simulator import Parallel

        left_out = [key for key in written.out if key[1] == "parallel"]
        if any(
            len(key) == 2 or key[2] in (*_WAYS, "dp") or key[2] not in ParallelSpec.model_fields for key in left_out
        ):
            return None  # how many chips it is of is not known
        ways = {name: getattr(spec, name) for name in _WAYS if getattr(spec, name) > 1}
        if spec.dp is not None:
            ways["dp"] = spec.dp
        asked, chips = math.prod(ways.values()), built.system.size if built.wired else 0
        told = " x ".join(f"{name} {count}" for name, count in ways.items())
        wrong = ""
        if chips and spec.dp is not None and asked != chips:
            wrong = f"{told} is {asked} chips; the system has {chips}{_beside_dp(ways, chips)}"
        elif chips and chips % asked:
            wrong = f"{told} is {asked} chips, which do not divide the system's {chips}"
        if wrong:
            self.add("parallel", wrong)
        if left_out:
            return None
        replicas = spec.dp or max(1, chips // asked)
        given: dict[str, Any] = {**spec.model_dump(exclude_unset=True, exclude_none=True), "dp": replicas}
        given |= {name: tuple(given[name]) for name in ("layers", "order") if name in given}
        parallel = self.tried(lambda: Parallel(**given))
        return None if wrong else parallel

    def laid(self, parallel: Parallel, system: System) -> System:
        """The system under the mesh of a parallelism; one that is written must be that, and lies as it is written."""
        section = self.document.data.get("system")
        if isinstance(section, dict) and "mesh" in section:
            self._check_mesh(parallel, system)
            return system
        for name in system.mesh.named:
            if name in parallel.mesh:
                where = self.document.key_mark(("system", "groups", name))
                self.problems.add(where, f"group {name} has the name of a mesh axis that the parallelism makes")
        found = [message for _, message in mesh_problems(parallel.mesh, system.topology)]
        for message in found:
            self.add("parallel", message)
        return system if found else system.under(parallel.mesh)

    def _check_mesh(self, parallel: Parallel, system: System) -> None:
        """Whether a mesh that is written is the one that the parallelism makes, but for axes of one chip."""
        written = {axis: size for axis, size in system.mesh.axes.items() if size > 1}
        if written != dict(parallel.mesh):
            made = ", ".join(f"{axis}: {size}" for axis, size in parallel.mesh.items())
            message = f"the parallelism of the workload makes the mesh {{{made}}}; leave it out, it follows"
            self.problems.add(self.document.value_mark(("system", "mesh")), message)

    def how(self, mode: Mode, spec: WorkloadSpec, loaded: LoadedModel | None, written: Section) -> Any:
        """The record of a mode, after checking that what the model needs is there."""
        needs = mode.needs_of(loaded.description, mode.needs) if loaded is not None else mode.needs
        missing = [key for key in needs if self.document.data["workload"].get(key) is None]
        # what a model needs that is not known is not known either; and what will not do is not missing, too
        for key in missing if loaded is not None else ():
            if key in written.lost:
                continue
            named = next(name for name, each in MODES.items() if each is mode)
            self.problems.add(self.document.value_mark(_AT), f"'workload.{key}' is missing: {named} needs it")
        given = {name: getattr(spec, name) for name in mode.keys if name in spec.model_fields_set}
        # estimates know a record again, so that what it has is to be hashed
        given = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if value is not None
        }
        if isinstance(blocks := given.get("recompute"), RecomputedBlocks):
            given["recompute"] = blocks.blocks
        if "precision" in given:
            named = given.pop("precision")
            precision = self.tried(lambda: mode.precision(named))
            if precision is not None:
                given["precision"] = precision
        if unsaid := {*missing, *written.lost.intersection(needs)}:
            # the others are looked at beside something that would do, but for what goes by what is not known
            others = {name: value for name, value in given.items() if _GOES_BY.get(name) not in unsaid}
            self.tried(lambda: mode.record(**mode.fixed, **others, **dict.fromkeys(unsaid, 1)))
            return None
        return self.tried(lambda: mode.record(**mode.fixed, **given))
