"""Which slices of a trace a device did, which the host, and which are frames around work.

Model: the process that is not the host is a device. What a slice belongs to is decided by the first of these that says
it: its category; a stream that it names; the lane that it stands in (the name of its thread); the label of its process;
a name of the process that a profiler gives ("/device:TPU:0", "/host:CPU", "CANN"); the categories of the other slices of
its process; and a name that only hints ("python"), where nothing in the file is surely the host.
Frames stand around work and are none: steps, modules, name scopes, annotations, loops around the ops inside them, waits
of a stream for another. XLA's lane of ops is work, but where a GPU's streams are there as well it shows them again; so do
TensorFlow's processes "stream:all" and "memcpy", and where a device has streams the process that has its name alone shows
when the host launched its ops.
Source: Kineto's ActivityType; XLA's xplane_schema for the names of planes and lines; the names in msprof's traces;
TensorFlow's timeline.py and the step statistics of its GPU tracer.
"""

from __future__ import annotations

import re
from enum import Enum

from analysis.traces.reading.events import Events, Slice, Thread


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


ACCELERATOR = r"(gpu|npu|tpu|xpu|hpu|mtia|gcu|mlu|dcu|musa|ipu|gaudi|cuda|accelerator|device)"
"""How profilers call a device, in names and labels with a number."""

DEVICE_CATEGORY = _words(r"(concurrent_)?kernel", r"(\w+_)?mem(cpy|set)", "collective_comm")
"""What a device does, in every profiler that has Kineto's categories."""

_HOST_CATEGORY = _words(
    "cpu_op", "cpu_instant_event", "operator", "python_function", "overhead", "external_correlation",
    r"(\w+_)?(runtime|driver)",
)  # fmt: skip
_FRAME_CATEGORY = _words(
    r"(\w+_)?user_annotation", "trace", "profilerstep", r"\w+_sync", r"\w+_profiler_range", r"(cuda|gpu)_event"
)
_FRAME_NAME = re.compile(r"ProfilerStep[#*]\d*$")
_FRAME_PROCESS = _words("overlap analysis")
_FRAME_LANE = _words(
    "(sparse core )?(steps|modules|syncs)", "(xla|tensorflow) (modules|traceme)", "source( code)?", "launch stats",
    "(framework|tensorflow) (name scope|ops)", "tensor core sync flag", "_counters_", r"step trace\b.*",
)  # fmt: skip
_CONTROL_FLOW = _words(r"(while|conditional|call)([.-]\d+)*")
_STREAM_LANE = re.compile(r"stream\s*#", re.IGNORECASE)
_OPS_LANE = _words("xla ops")
_GROUP_LANE = _words(r"(group \S+ )?communication")
_PART_LANE = _words(r"plane \d+")
_WAIT_TASK = _words(r"(event|notify)_?(wait|record)\w*")

_HOST_LABEL = re.compile(r"(cpu|host|python|cann)\b", re.IGNORECASE)
_DEVICE_LABEL = re.compile(rf"{ACCELERATOR}\b|(?!(rank|node|worker|process|pid)\b)\w+ \d+$", re.IGNORECASE)
_HOST_NAME = re.compile(
    r"(.*\s)?/host:|(.*/)?device:cpu:|(host cpus|syscalls|task environment|cann|mindspore|cpu (\w+ )*(api|functions))$",
    re.IGNORECASE,
)
_DEVICE_NAME = re.compile(
    rf"(.*/)?device:\w+:\d+|{ACCELERATOR}( functions|[ _:#]*\d+\b)|chip \d+\b|(ascend hardware|communication|hccl)\b",
    re.IGNORECASE,
)
_COMMUNICATION = re.compile(r"(communication|hccl)\b", re.IGNORECASE)
_PART_OF_DEVICE = re.compile(
    r"(?P<task>.*/)?(?P<device>device:\w+:\d+)(/(?P<part>stream:\w+|memcpy))?( compute)?", re.IGNORECASE
)
_STREAM = re.compile(r"stream:\d+", re.IGNORECASE)
_HINTS_HOST = _words(r"python[\d.]*", "cpu", "host", "main ?process")


STREAMS = {"stream", "Stream Id"}
"""Args that name a stream of a device."""


class Role(Enum):
    """What a slice, or a whole process, is part of."""

    DEVICE = "device"
    HOST = "host"
    FRAME = "frame"
    UNKNOWN = "unknown"


class Roles:
    """What the slices of one file are part of."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._categories: dict[str, set[str]] = {}
        for each in events.slices:
            self._categories.setdefault(each.thread[0], set()).add(each.category)
        self._streams = {thread[0] for thread, name in events.thread_names.items() if _STREAM_LANE.match(name)}
        self._groups = {thread[0] for thread, name in events.thread_names.items() if _GROUP_LANE.fullmatch(name)}
        self._parts: dict[tuple[str, str], set[str]] = {}
        for process in self._categories:
            if found := _PART_OF_DEVICE.fullmatch(self._name(process)):
                self._parts.setdefault(_device_of(found), set()).add(found["part"] or "")
        sure = {process: self._sure(process) for process in self._categories}
        has_host = Role.HOST in sure.values()
        self._processes: dict[str, Role] = {}
        for process, role in sure.items():
            hinted = role is Role.UNKNOWN and not has_host and _HINTS_HOST.fullmatch(self._name(process))
            self._processes[process] = Role.HOST if hinted else role
        self._by_category: dict[str, Role | None] = {}
        self._by_thread: dict[Thread, Role] = {}

    def of(self, each: Slice) -> Role:
        """What a slice is part of."""
        if each.category not in self._by_category:
            self._by_category[each.category] = _role_of_category(each.category)
        if role := self._by_category[each.category]:
            return role
        if each.thread not in self._by_thread:
            self._by_thread[each.thread] = self._role_of_thread(each.thread)
        role = self._by_thread[each.thread]
        if role is Role.HOST and STREAMS & each.args.keys():  # only devices have streams
            return Role.DEVICE
        if role is Role.HOST or role is Role.FRAME:
            return role
        return Role.FRAME if _is_frame_by_itself(each, self._lane(each.thread)) else role

    def _role_of_thread(self, thread: Thread) -> Role:
        role, lane = self._processes[thread[0]], self._lane(thread)
        derived = thread[0] in self._streams and _OPS_LANE.fullmatch(lane)
        return Role.FRAME if role is not Role.HOST and (derived or _FRAME_LANE.fullmatch(lane)) else role

    def _lane(self, thread: Thread) -> str:
        return self._events.thread_names.get(thread, "").strip()

    def is_message(self, thread: Thread) -> bool:
        """Whether a lane shows the parts of collectives that another lane of its process shows whole."""
        return thread[0] in self._groups and bool(_PART_LANE.fullmatch(self._lane(thread)))

    def communicates(self, thread: Thread) -> bool:
        """Whether everything in a lane is communication, whatever its name."""
        return bool(_COMMUNICATION.match(self._name(thread[0])))

    def _name(self, process: str) -> str:
        """The name of a process; one without a name may go by what stands for its number."""
        return self._events.process_names.get(process, process).strip()

    def _sure(self, process: str) -> Role:
        """What a process is, by what does not only hint."""
        label, name = self._events.process_labels.get(process, "").strip(), self._name(process)
        if _FRAME_PROCESS.fullmatch(name):
            return Role.FRAME
        if shown := self._shown_elsewhere(name):
            return shown
        for text, host, device in ((label, _HOST_LABEL, _DEVICE_LABEL), (name, _HOST_NAME, _DEVICE_NAME)):
            if host.match(text):
                return Role.HOST
            if device.match(text):
                return Role.DEVICE
        categories = self._categories[process]
        if any(_HOST_CATEGORY.fullmatch(each) for each in categories):
            return Role.HOST
        return Role.DEVICE if any(DEVICE_CATEGORY.fullmatch(each) for each in categories) else Role.UNKNOWN

    def _shown_elsewhere(self, name: str) -> Role | None:
        """What a process is whose slices the streams of its device show again, or for what the host did; else None."""
        found = _PART_OF_DEVICE.fullmatch(name)
        if found is None:
            return None
        task, device = _device_of(found)
        if not found["part"]:
            beside = self._parts[task, device] | self._parts.get(("", device), set())
            return Role.HOST if any(beside) else None
        streams = any(_STREAM.fullmatch(part) for part in self._parts[task, device])
        return Role.FRAME if streams and not _STREAM.fullmatch(found["part"]) else None


def _device_of(found: re.Match[str]) -> tuple[str, str]:
    """The task and the device that the name of a process speaks of; streams of the task that writes the file name none."""
    return (found["task"] or "").strip("/"), found["device"].lower()


def _role_of_category(category: str) -> Role | None:
    """What a category alone says; None where that is nothing."""
    if DEVICE_CATEGORY.fullmatch(category):
        return Role.DEVICE
    if _FRAME_CATEGORY.fullmatch(category):
        return Role.FRAME
    return Role.HOST if _HOST_CATEGORY.fullmatch(category) else None


def _is_frame_by_itself(each: Slice, lane: str) -> bool:
    """Whether a slice of a device is a step, a loop around ops that are there too, or a wait for another stream."""
    if _FRAME_NAME.match(each.name):
        return True
    category = str(each.args.get("hlo_category", ""))
    if _CONTROL_FLOW.fullmatch(category):
        return True
    if _OPS_LANE.fullmatch(lane) and not category:
        return bool(_CONTROL_FLOW.fullmatch(each.name))
    return bool(_WAIT_TASK.fullmatch(str(each.args.get("Task Type", ""))))
