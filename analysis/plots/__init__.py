"""Pictures of runs and studies: timeline, breakdown, memory, roofline, topology, sweep, front, tornado; on a page or a file.

Every function takes a result (or a frame) and returns a plotly figure; `save(figure, "run.png")` writes it.
plotly is imported when a picture is asked for.
"""

from analysis.plots.charts import plot_sweep, plot_tornado
from analysis.plots.front import plot_front
from analysis.plots.memory import plot_memory
from analysis.plots.roofline import plot_roofline
from analysis.plots.roofs import plot_roofs
from analysis.plots.save import browser, save
from analysis.plots.style import CAUSE_COLOURS
from analysis.plots.timelines import plot_breakdown, plot_timeline
from analysis.plots.topology import plot_topology, wire_loads

__all__ = [
    # Of a run.
    "plot_breakdown",
    "plot_memory",
    "plot_roofline",
    "plot_roofs",
    "plot_timeline",
    "plot_topology",
    # Of a study.
    "plot_front",
    "plot_sweep",
    "plot_tornado",
    # Files and colours.
    "CAUSE_COLOURS",
    "browser",
    "save",
    "wire_loads",
]
