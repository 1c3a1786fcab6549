"""Questions to a run: its critical path, its roofline, what would help, and how it differs from another run.

`path_frame(result)`, `roofline_points(...)`, `levers(...)`, `Comparison(a, b)`.
"""

from analysis.runs.advice import Advice, advice
from analysis.runs.assumed import assumptions
from analysis.runs.attribution import NO_LINK, exposed_by_link, exposed_links, task_links
from analysis.runs.compare import BOTH, ONLY_A, ONLY_B, Change, Comparison, compare
from analysis.runs.critical_path import (
    CONTENTION,
    HELD,
    PATH_CAUSES,
    Segment,
    path_work_ps,
    schedule_path,
)
from analysis.runs.elasticity import FACTORS, Lever, elasticity, levers, used_of
from analysis.runs.grounds import GROUNDS, grounds, grounds_line
from analysis.runs.hidden import Hidden, hidden_communication
from analysis.runs.margin import NINE_OF_TEN, Margin, margin
from analysis.runs.path_frames import path_frame, slack_frame
from analysis.runs.roofline import RooflinePoint, roofline_points, roofs
from analysis.runs.roofline_frames import eta_frame, points_frame
from analysis.runs.spent import SPENT, spent_ps
from analysis.words.busy import busy_s
from analysis.words.memory import holdings, memory_peaks, near_bytes
from analysis.words.processes import BesideWork
from analysis.words.waiting import waiting_ps, waiting_spans

__all__ = [
    # The critical path.
    "CONTENTION",
    "HELD",
    "PATH_CAUSES",
    "Segment",
    "path_frame",
    "path_work_ps",
    "schedule_path",
    "slack_frame",
    # Time on links, and waiting for them.
    "NO_LINK",
    "Hidden",
    "busy_s",
    "exposed_by_link",
    "exposed_links",
    "hidden_communication",
    "task_links",
    "waiting_ps",
    "waiting_spans",
    # The roofline.
    "RooflinePoint",
    "eta_frame",
    "points_frame",
    "roofline_points",
    "roofs",
    # Where the time of the busiest chip goes.
    "SPENT",
    "spent_ps",
    # Memory.
    "holdings",
    "memory_peaks",
    "near_bytes",
    # What would help.
    "FACTORS",
    "Lever",
    "Advice",
    "advice",
    "assumptions",
    "elasticity",
    "levers",
    "used_of",
    # What its times rest on, and how sure they are.
    "GROUNDS",
    "NINE_OF_TEN",
    "Margin",
    "grounds",
    "grounds_line",
    "margin",
    # Two runs; a job beside the run.
    "BOTH",
    "ONLY_A",
    "ONLY_B",
    "BesideWork",
    "Change",
    "Comparison",
    "compare",
]
