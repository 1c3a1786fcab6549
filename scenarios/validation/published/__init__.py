"""Published measurements of models on GPUs that are named in them, beside what is predicted.

`has_published_rows(path)`, `judged_published(path)`: models in PyTorch, forward and training; `model_graph(shape, asked,
layers)` is what they are as ops. `shared_seconds(shape, row, layout)`: training on several GPUs.
"""

from scenarios.validation.published.engine import Decoder, Step, engine_graph, engine_seconds
from scenarios.validation.published.hugging_face import Asked, Shape, model_graph, seconds
from scenarios.validation.published.rows import by_device, has_published_rows, judged_published, read_published
from scenarios.validation.published.serving import has_serving_rows, judged_serving, read_serving
from scenarios.validation.published.shared import Layout, layout_of, shared_seconds

__all__ = [
    # Models in PyTorch.
    "Asked",
    "Shape",
    "by_device",
    "has_published_rows",
    "judged_published",
    "Layout",
    "layout_of",
    "model_graph",
    "read_published",
    "seconds",
    "shared_seconds",
    # Prompts and tokens of a serving engine.
    "Decoder",
    "Step",
    "engine_graph",
    "engine_seconds",
    "has_serving_rows",
    "judged_serving",
    "read_serving",
]
