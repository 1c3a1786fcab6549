"""What the devices of a trace did: every slice of theirs with its chip and its queue.

Model: a chip is a process, except that: the planes of one TPU ("/device:TPU:0" and its sparse cores) and the sections
of one Ascend device (hardware, communication) are one chip; slices of one process that name several devices (args) are
several. Where some processes are surely devices, those that nothing is known of do not count; where none is, they do.
A queue is a stream (args), else a thread; threads of one name are told apart.
A chip goes by the number of its device (args), else the one in its label or name, else that of its process: the first
that all chips of a file have and no two share.
Source: msprof numbers processes as host's number x 1024 + section x 32 + device.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.traces.reading.events import Events, Slice, Thread
from analysis.traces.reading.roles import ACCELERATOR, Role, Roles

_PLANE = re.compile(r"(.*/device:(?!cpu\b)\w+:(\d+))", re.IGNORECASE)
_SECTION = re.compile(r"(ascend hardware|communication|hccl)\b", re.IGNORECASE)
_NUMBERED = re.compile(rf"({ACCELERATOR}|chip)[ _:#]*(?P<number>\d{{1,9}})\b", re.IGNORECASE)
_LABELLED = re.compile(r"[a-z]\w* (?P<number>\d{1,9})$", re.IGNORECASE)
_WHOLE = re.compile(r"-?[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Device:
    """One device of a file, with the numbers that it may go by; `name` is that of its process."""

    name: str
    device: int | None = None
    ordinal: int | None = None
    process: int | None = None


@dataclass(frozen=True, slots=True)
class DeviceSlice:
    """A slice of a device, the key of its chip, and its queue. A message is part of a collective that is there too;
    `communicates`: its lane holds nothing but communication."""

    slice: Slice
    chip: str
    queue: str
    message: bool = False
    communicates: bool = False


@dataclass(frozen=True, slots=True)
class DeviceLanes:
    """What the devices of a file did, in order of time, their chips in the order in which they come, and what was left
    out, by role."""

    work: list[DeviceSlice]
    chips: dict[str, Device]
    left_out: dict[Role, list[Slice]]


def lanes_of(events: Events, all_work: bool = False) -> DeviceLanes:
    """Sort the slices of a file into those of devices and all others; with `all_work` there are no others."""
    slices = sorted(events.slices, key=lambda each: each.begin_ps)
    roles = Roles(events)
    by_role: dict[Role, list[Slice]] = {role: [] for role in Role}
    for each in slices:
        by_role[Role.DEVICE if all_work else roles.of(each)].append(each)
    chosen = Role.DEVICE if by_role[Role.DEVICE] else Role.UNKNOWN
    found = by_role.pop(chosen)
    chips = _Chips(events, found)
    queues = _queue_names(events, found, chips)
    work = [
        DeviceSlice(
            each, chips.key(each), queues[_lane(each)], roles.is_message(each.thread), roles.communicates(each.thread)
        )
        for each in found
    ]
    return DeviceLanes(work, chips.found, by_role)


def whole(said: object) -> int | None:
    """A whole number of up to nine digits, also in quotes; None for anything else."""
    text = str(said)
    return int(text) if _WHOLE.fullmatch(text) else None


def chip_numbers(chips: Sequence[Device]) -> list[int] | None:
    """The numbers that the chips of a file go by; None where they have none that tells them apart."""
    for numbers in zip(*((chip.device, chip.ordinal, chip.process) for chip in chips), strict=True):
        known = [number for number in numbers if number is not None]
        if len(set(known)) == len(chips):
            return known
    return None


class _Chips:
    """The chips of a file, by key, and the key of each slice."""

    def __init__(self, events: Events, slices: Iterable[Slice]) -> None:
        self._events = events
        self._devices: dict[str, dict[str, None]] = {}
        for each in slices:
            self._devices.setdefault(each.thread[0], {})
            if "device" in each.args:
                self._devices[each.thread[0]][str(each.args["device"])] = None
        self.found: dict[str, Device] = {}
        self._keys: dict[tuple[str, str], str] = {}

    def key(self, each: Slice) -> str:
        """The key of a slice's chip."""
        process = each.thread[0]
        devices = self._devices[process]
        # one that says no device beside others that do belongs with the first of them
        device = str(each.args.get("device", next(iter(devices), "")))
        key = self._keys.get((process, device))
        if key is None:
            key = self._keys[process, device] = self._added(process, device, len(devices) > 1)
        return key

    def _added(self, process: str, device: str, several: bool) -> str:
        """The key of a chip by its process and its device; `several` devices share the process."""
        name = self._events.process_names.get(process, process).strip()
        label = self._events.process_labels.get(process, "").strip()
        number = whole(process)
        if plane := _PLANE.match(name):
            key, ordinal = plane[1], whole(plane[2])
        elif _SECTION.match(name):
            key, ordinal = _ascend_device(number, label)
        else:
            found = _LABELLED.match(label) or _NUMBERED.match(name)
            key, ordinal = process, whole(found["number"]) if found else None
        if several:
            key = f"{key}, device {device}"
        self.found.setdefault(key, Device(name, whole(device), ordinal, number))
        return key


def _ascend_device(process: int | None, label: str) -> tuple[str, int | None]:
    """The key and the number of the device that a section of an Ascend trace speaks of."""
    labelled = _LABELLED.match(label)
    host, device = (0, None) if process is None or process < 1024 else (process >> 10, process % 32)
    if labelled:
        device = whole(labelled["number"])
    return f"npu {device} of {host}", device


def _queue_names(events: Events, slices: Iterable[Slice], chips: _Chips) -> dict[tuple[Thread, str], str]:
    """The name of every lane's queue; a thread shares the name of no other one of its chip."""
    lanes = dict.fromkeys((chips.key(each), *_lane(each)) for each in slices)
    names: dict[tuple[str, str], dict[Thread, None]] = {}
    for chip, thread, stream in lanes:
        if not stream:
            names.setdefault((chip, _thread_name(events, thread)), {})[thread] = None
    result: dict[tuple[Thread, str], str] = {}
    for chip, thread, stream in lanes:
        name = _thread_name(events, thread)
        alike = names.get((chip, name), {})
        if len(alike) > 1:
            apart = len({number for _, number in alike}) == len(alike)
            name = f"{name} ({thread[1] if apart else ' '.join(thread)})"
        result[thread, stream] = stream or name
    return result


def _thread_name(events: Events, thread: Thread) -> str:
    return events.thread_names.get(thread, thread[1]).strip()


def _lane(each: Slice) -> tuple[Thread, str]:
    """A slice's thread and stream; the latter empty where it says none."""
    stream = each.args.get("stream", each.args.get("Stream Id", ""))
    return each.thread, str(stream)
