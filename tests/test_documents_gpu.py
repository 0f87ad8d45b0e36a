"""Printed commands that need GPUs: their text names the hardware, and our checks accept them on it.

Hardware is named as `8 × 80 GB` (GPUs × memory of each) or `2 machines of 8 × 80 GB`: in the comment of the command, in
the comment above it, or in its section of the page or file.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from transformers import PretrainedConfig, Qwen2_5_VLConfig

from agrae_lab.models.load import MADE_BY
from agrae_lab.runs import packages
from agrae_lab.runs.packages import check_packages
from agrae_lab.runs.processes import Layout
from agrae_lab.tasks import SPLITS, VISUAL_SPLITS
from agrae_lab.training import planned_memory
from agrae_lab.training.devices import Place
from agrae_lab.training.preflight import check_fit, workload
from sweeps.__main__ import main
from sweeps.engines.slurm import DEFAULTS, run_settings
from sweeps.execution.slots import check_here, make_slots
from sweeps.launch.cells import load_freeze
from sweeps.planning.freeze import Plan, make_plan
from sweeps.spec import experiments
from sweeps.spec.compose import CONFIG_DIR, compose, config_dir
from sweeps.spec.read import is_study, read_study
from sweeps.targets import split_words
from tests.documents import PAGES, ROOT
from tests.models.test_memory import PUBLISHED, SEVEN_B

VISION_3B = Qwen2_5_VLConfig(  # config.json on the Hub, as far as it sizes the model
    hidden_size=2048,
    intermediate_size=11008,
    num_hidden_layers=36,
    num_attention_heads=16,
    num_key_value_heads=2,
    vocab_size=151936,
    tie_word_embeddings=True,
    vision_config={
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
    },
)
MODELS: dict[str, PretrainedConfig] = {  # of the Hub → their sizes
    "Qwen/Qwen2.5-Math-7B": SEVEN_B,
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B": SEVEN_B,
    "meta-llama/Llama-3.2-3B-Instruct": PUBLISHED["Llama-3.2-3B-Instruct"][0],
    "Qwen/Qwen2.5-0.5B-Instruct": PUBLISHED["Qwen2.5-0.5B-Instruct"][0],
    "Qwen/Qwen2.5-VL-3B-Instruct": VISION_3B,
}
WORLDS = {path.stem: yaml.safe_load(path.read_text()) for path in (CONFIG_DIR / "world").glob("*.yaml")}
GPU_WORLDS = {name for name, world in WORLDS.items() if world.get("model", {}).get("path") in MODELS}
ANY_MACHINE = {"smollm2_135m"}  # a model of the Hub that also trains on a CPU
FILES = (*PAGES, *sorted((ROOT / "conf").rglob("*.yaml")), *sorted((ROOT / "sweeps" / "studies").glob("*.yaml")))
_COMMAND = re.compile(
    r"(?:python -m (?:sweeps|agrae_lab\.train|agrae_lab\.compare) |agrae-lab (?:sweep|train|compare) "
    r"|accelerate launch |torchrun )[^`\n]*"
)
_HARDWARE = re.compile(r"(?:(\d+) machines of )?(\d+) × (\d+) GB")
_PLACEHOLDERS = {"…": "", "<settings>": "", "--machine_rank i": "--machine_rank 0", "<machine 0>": "10.0.0.1"}
STARTS = ("run", "plan", "protocol", "retry")  # of `sweeps`


@dataclass(frozen=True)
class Machine:
    """Hardware that a text names: machines, GPUs of each, GB of each GPU."""

    machines: int
    gpus: int
    gigabytes: int

    @classmethod
    def named(cls, *texts: str) -> Machine:
        """Return the first hardware that the first text with any names."""
        found = next((match for text in texts if (match := _HARDWARE.search(text))), None)
        assert found is not None, "the text names no hardware for this command, such as `8 × 80 GB`"
        return cls(*(int(number or 1) for number in found.groups()))


@dataclass(frozen=True)
class Command:
    """A printed command: its words, and the texts that may name its hardware, the nearest first."""

    place: str
    words: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def overrides(self) -> list[str]:
        """Words after the module's name, or after the command's of agrae-lab."""
        at = self.words.index("-m") + 2 if "-m" in self.words and self.words[0] != "agrae-lab" else 2
        words = [word for word in self.words[at:] if word not in ("-m", "--json")]
        return words[1:] if self.is_sweep and "-m" not in self.words else words

    @property
    def is_sweep(self) -> bool:
        return "sweeps" in self.words or self.words[:2] == ("agrae-lab", "sweep")

    @property
    def sweep_words(self) -> list[str]:
        """Words of a sweep without its command."""
        return list(self.words[self.words.index("sweeps" if "sweeps" in self.words else "sweep") + 2 :])


def printed_commands() -> Iterator[Command]:
    """Yield the commands in the texts and comments of the documents and YAML files."""
    for path in FILES:
        text = path.read_text()
        if path.suffix == ".yaml":
            text = "\n".join(line.removeprefix("# ") for line in text.splitlines() if "#" in line)
        text = re.sub(r"\\\n\s*", " ", text)
        for match in _COMMAND.finditer(text):
            code, _, comment = match[0].partition(" #")
            above = text[: match.start()].rstrip(" \n").rpartition("\n")[2]
            sections = re.split(r"^## .*$", text, flags=re.M)
            section = next(one for one in sections if match[0] in one)
            for placeholder, value in _PLACEHOLDERS.items():
                code = code.replace(placeholder, value)
            try:
                words = shlex.split(code)
            except ValueError:  # prose, not a command
                continue
            texts = (comment, above if above.startswith("#") or path.suffix == ".yaml" else "", section)
            yield Command(f"{path.relative_to(ROOT)}", tuple(words), texts)


def needs_gpus(command: Command) -> bool:
    """Return whether a command starts a training or a sweep that needs GPUs."""
    words = command.words
    if "agrae_lab.evaluate" in words or (command.is_sweep and not set(STARTS) & set(words)):
        return False
    for word in words:
        if is_study(word):
            words = (*words, *_base(word))
    keys = ("paper/", "+experiment=paper/", "engine=vllm", "hardware.processes=", "hardware.strategy=")
    return any(word.startswith(keys) or word.removeprefix("world=") in GPU_WORLDS for word in words)


@cache
def _base(study: str) -> tuple[str, ...]:
    file = ROOT / "sweeps" / "studies" / f"{study}.yaml"
    return tuple(read_study(str(file)).base) if file.is_file() else ()


COMMANDS = [one for one in printed_commands() if needs_gpus(one)]


def test_the_models_of_the_hub_have_their_sizes_here():
    paths = {name: world["model"]["path"] for name, world in WORLDS.items() if "model" in world}
    hub = {name for name, path in paths.items() if "/" in path and path not in MADE_BY}
    assert hub == GPU_WORLDS | ANY_MACHINE


def test_the_commands_that_need_gpus_are_found():
    found = {
        (one.place, next((word for word in one.words if "paper/" in word or "world=" in word), "")) for one in COMMANDS
    }
    papers = {path.stem for path in (CONFIG_DIR / "experiment" / "paper").glob("*.yaml")}
    assert {word for _, word in found} >= {f"paper/{name}" for name in papers} | {
        f"world={name}" for name in GPU_WORLDS - {"deepseek_r1_7b"}
    }
    places = (
        "README.md",
        "docs/reproduce.md",
        "docs/clusters.md",
        "docs/scale.md",
        "docs/sampling.md",
        "docs/vision.md",
    )
    assert {place for place, _ in found} >= {
        *places,
        "conf/accelerate/fsdp_nx8.yaml",
        "conf/experiment/paper/table3.yaml",
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A folder with problems of every set, as many as the largest batch takes."""
    folder = tmp_path_factory.mktemp("data")
    Image.new("RGB", (64, 48), "white").save(folder / "white.png")
    for name in {name for splits in SPLITS.values() for name in splits.values() if name}:
        rows = [{"id": f"p{i}", "problem": f"{i} + 1 = ?", "answer": str(i + 1)} for i in range(_number(name))]
        _write(folder / f"{name}.jsonl", rows)
    for name in {name for splits in VISUAL_SPLITS.values() for name in splits.values() if name}:
        fixed = {"answer": "A", "image": "white.png", "choices": ["x", "y"]}
        _write(
            folder / f"{name}.jsonl",
            [{"id": f"p{i}", "problem": f"<image>{i}?", **fixed} for i in range(min(512, _number(name)))],
        )
    _write(folder / "mine.jsonl", [{"problem": f"{i}?", "answer": str(i)} for i in range(128)])
    return folder


def _number(name: str) -> int:
    return 1024 if "train" in name else 512 if name in {"medical_mri", "geo3k"} else 8


def _write(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def described(data, tmp_path, monkeypatch):
    """Return a function that makes this machine look like the described one to our checks."""
    monkeypatch.setenv("AGRAE_DATA", str(data))
    monkeypatch.setattr(planned_memory, "load_config", MODELS.__getitem__)
    (tmp_path / "mine.jsonl").symlink_to(data / "mine.jsonl")
    monkeypatch.chdir(tmp_path)
    load_freeze("agrae_lab.train")  # it registers config groups

    def describe(gpus: int, *, installed: bool = True) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(gpus))))
        versions = dict.fromkeys(("vllm", "peft", "deepspeed"), "0.31.0") if installed else {}
        monkeypatch.setattr(packages, "package_version", versions.get)
        monkeypatch.setattr(packages, "find_spec", versions.get)

    return describe


@cache
def planned(words: tuple[str, ...]) -> Plan:
    """Return the plan of experiments' last arm; once for all commands, since all arms need the same hardware.

    tests/config/test_paper_experiments.py freezes the others.
    """
    freeze = load_freeze("agrae_lab.train")
    with config_dir(CONFIG_DIR):
        cells = experiments.experiment_cells(*split_words(words))
        return make_plan(cells[-1:], freeze)


def check_memory(config: dict[str, Any], machine: Machine, place: Place, caplog) -> None:
    """Check that the run fits into a device, without a warning."""
    length = config["train"].get("max_prompt_length") or planned_memory.PROMPT_TOKENS
    work = workload(config, prompt_length=length, place=place)
    memory = int(machine.gigabytes * 1e9)
    check_fit(config, MODELS[config["model"]["path"]], work, memory=memory, device="a GPU of this size")
    assert "memory may not suffice" not in caplog.text


def check_train(command: Command, machine: Machine, caplog) -> None:
    with config_dir(CONFIG_DIR):
        points = experiments.expand(command.overrides)
        configs = [load_freeze("agrae_lab.train")(compose(point)) for point in points]
    for config in configs:
        check_packages(config)
        layout = launched(command, machine) or Layout.of(config)
        layout.check_machine(machine.gpus)
        assert layout.nodes == machine.machines
        shards = 1 if layout.strategy == "ddp" else layout.processes
        check_memory(config, machine, Place(layout.processes, shards, shards, on_cpu=False), caplog)


def launched(command: Command, machine: Machine) -> Layout | None:
    """Return the processes of a launcher that the command itself names; None if our own starts them."""
    if command.words[0] != "accelerate":
        return None
    settings = yaml.safe_load((ROOT / command.words[command.words.index("--config_file") + 1]).read_text())
    strategy = {"FSDP": "fsdp", "DEEPSPEED": "deepspeed", "MULTI_GPU": "ddp"}[settings["distributed_type"]]
    assert settings["num_processes"] == machine.machines * machine.gpus
    return Layout(settings["num_processes"], settings["num_machines"], "accelerate", strategy)


def check_sweep(command: Command, machine: Machine, caplog) -> None:
    words = command.sweep_words
    engine = words[words.index("--engine") + 1] if "--engine" in words else "local"
    words = [word for word in words if word not in ("--engine", engine)]
    runs = planned(tuple(words)).planned
    assert runs
    if engine == "local":
        check_here(run.config for run in runs)
    for layout in {Layout.of(run.config) for run in runs}:
        assert layout.per_node == machine.gpus
        assert layout.nodes == machine.machines
        if engine == "local":
            assert len(make_slots(len(runs), layout=layout)) == 1
    if engine == "slurm":
        assert run_settings(runs[0], DEFAULTS)["gpus_per_node"] == machine.gpus
    for run in {json.dumps([run.config["hardware"], run.config["train"]]): run for run in runs}.values():
        check_memory(run.config, machine, Place.planned(run.config, on_cpu=False), caplog)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: f"{one.place}: {' '.join(one.words)[:70]}")
def test_a_printed_command_is_accepted_on_the_hardware_that_its_text_names(command, described, caplog):
    machine = Machine.named(*command.texts)
    elsewhere = "--engine" in command.words
    described(0 if elsewhere else machine.gpus, installed=not elsewhere)  # a login node has neither
    (check_sweep if command.is_sweep else check_train)(command, machine, caplog)


def test_a_command_on_too_small_a_machine_would_be_noticed(described, caplog):
    described(8)
    sweep = Command("here", ("python", "-m", "sweeps", "run", "paper/figure4"), ())
    with pytest.raises(ValueError, match=r"needs .* on each device"):
        check_sweep(sweep, Machine(1, 8, 16), caplog)
    described(4)
    with pytest.raises(ValueError, match="needs 8 GPUs, and this one has 4"):
        check_sweep(sweep, Machine(1, 4, 80), caplog)
    described(8, installed=False)
    with pytest.raises(ValueError, match="engine = vllm needs vLLM"):
        check_sweep(sweep, Machine(1, 8, 80), caplog)
    train = Command("here", ("agrae-lab", "train", "world=qwen25_math_7b", "hardware.processes=1"), ())
    described(1)
    with pytest.raises(ValueError, match=r"needs .* on each device"):
        check_train(train, Machine(1, 1, 80), caplog)
    with pytest.raises(AssertionError, match="names no hardware"):
        Machine.named("on a large machine", "")


def test_each_row_of_the_table_of_what_was_tried_names_its_test():
    page = (ROOT / "docs" / "clusters.md").read_text()
    _, _, section = page.partition("## Tried and composed only\n")
    rows = [line.split("|")[1:-1] for line in section.partition("\n##")[0].splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 10
    for path, kind, tests in rows:
        assert kind.strip().startswith(("tried", "composed only")), path
        named = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert named, path
        assert all((ROOT / name).is_file() for name in named), path


def test_plan_prints_gpus_memory_and_hours_of_the_papers_runs(described, capsys, tmp_path):
    described(8)
    assert main(["plan", "paper/figure4", f"root={tmp_path / 'runs'}"]) == 0
    out = capsys.readouterr().out
    assert "Qwen/Qwen2.5-Math-7B: 3 runs, each 8 GPUs of one machine (fsdp, by accelerate)" in out
    assert re.search(
        r"memory: about 27\.\d GiB on each at the peak, 14\.\d GiB of it for good; beside it vLLM with 14", out
    )
    assert "hours:" in out
