"""Small real runs of tiny vision-language models on the task `shades`, in this process or several.

python -m tests.training.vision_lab execute <run>      as tests.training.distributed_lab
"""

import json
import sys
from pathlib import Path

import agrae_lab.tasks.vision
from tests.models.tiny_vision import MODELS, SIDE
from tests.training import distributed_lab
from tests.training.conftest import compose_config

EXECUTE = ("-m", "tests.training.vision_lab", "execute")
REPLAY = ("-m", "tests.training.vision_lab", "replay")
SIZES = ([[SIDE, SIDE]], [[SIDE, 2 * SIDE]], [[SIDE, SIDE], [2 * SIDE, SIDE]], [[70, 60]])
VISION = [
    "task.name=shades",
    "train.num_steps=4",
    "train.num_prompts=4",
    "train.num_generations=4",
    "train.num_minibatches=1",
    "train.max_completion_length=6",
    "train.learning_rate=1e-2",
    "train.checkpoint_every=2",
    "train.validate_every=2",
    "train.validate_on=null",
    "evaluation.num_samples=4",
    "evaluation.max_new_tokens=6",
    "evaluation.batch_size=10",
    "~evaluation.benchmarks.countdown_test",
    "hardware.device=cpu",
    "advantage=a_grae",
]

agrae_lab.tasks.vision.__path__.append(str(Path(__file__).parent / "toy_tasks"))


def write_problems(path: Path, count: int, first: int = 0) -> Path:
    """Every other one bright; prompts of one picture and of two, of different sizes."""
    rows = [{"id": i, "is_bright": i % 2 == 0, "sizes": SIZES[i // 2 % 4]} for i in range(first, first + count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def vision_config(root: Path, model: Path, *overrides: str) -> dict:
    """The frozen config of a small run; `model` is made if it is not there, and beside it the problems."""
    if not model.is_dir():
        MODELS[model.name](model)
    files = [write_problems(model.with_name("train.jsonl"), 12)]
    files += [write_problems(model.with_name("test.jsonl"), 6, first=50)]
    given = [f"model.path={model}", f"task.train_file={files[0]}"]
    given += [f"+evaluation.benchmarks.shades_test={{task: shades, file: '{files[1]}'}}", f"root={root}"]
    return compose_config(*VISION, *given, *overrides)


if __name__ == "__main__":
    distributed_lab.main(*sys.argv[1:])
