"""Train and evaluate one run, or all runs of an experiment.

python -m agrae_lab.train advantage=a_grae seed=1                 one run, in this process
python -m agrae_lab.train -m +experiment=group_symmetry           an experiment, in parallel processes
python -m agrae_lab.train --help                                  every key, with its type, default and meaning

One run ends with its status and Pass@1 in words; with --json, with one line of JSON for scripts.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from agrae_lab import runs
from agrae_lab.config import CONF_DIR, ConfigError, freeze
from agrae_lab.config.help import help_text
from agrae_lab.lifecycle import execute
from agrae_lab.models.load import ModelError
from agrae_lab.models.memory import is_out_of_memory, out_of_memory_message
from agrae_lab.runs import RunError, launchers
from agrae_lab.runs.ending import ending, take_json_flag
from agrae_lab.runs.hydra_errors import leave_errors_to_hydra, let_hydra_raise, one_sentence, was_let_raise
from agrae_lab.runs.hydra_overrides import for_multirun
from agrae_lab.runs.packages import check_packages
from agrae_lab.runs.processes import Layout, is_launched, is_main

__all__ = ["execute", "freeze", "main"]

_POLL_SECONDS = 0.1


def _check_packages(config: Mapping[str, Any]) -> None:
    """Raise ConfigError if this machine lacks a package that the run needs."""
    try:
        check_packages(config)
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _created(config: Mapping[str, Any]) -> Path:
    """Create the run's directory, and add it to the experiment that its config names; further processes wait for it.

    Raises:
        RunError: as runs.create_run, or the root cannot be written.
    """
    if not is_main():
        run_dir = runs.run_dir_for(config)
        while not (run_dir / "config.yaml").is_file():  # the launcher ends this process if the main one fails
            time.sleep(_POLL_SECONDS)
        return run_dir
    try:
        run_dir = runs.create_run(config)
        _join_experiment(config, run_dir)
    except OSError as error:
        where = error.filename or config["root"]
        raise RunError(f"{where}: {error.strerror or error}. Choose a root that can be written, with room") from error
    return run_dir


def _join_experiment(config: Mapping[str, Any], run_dir: Path) -> None:
    """Add a run that is launched alone to the experiment that its config names."""
    name, question = config["experiment"]["name"], config["experiment"]["question"]
    if name is not None:
        key = runs.read_run(run_dir).key
        comparison = runs.Comparison.of(config["experiment"])
        runs.Experiment(name, question or "", (key,), {key: config["arm"]}, comparison).write(Path(config["root"]))


def _launch(config: Mapping[str, Any], run_dir: Path) -> str:
    """Start a run's processes on this machine by a launcher, and return the run's status once they have ended.

    Raises:
        RunError: this machine cannot start them.
    """
    import torch

    layout = Layout.of(config)
    if layout.nodes > 1:
        raise RunError(
            f"hardware.nodes: a run on {layout.nodes} machines is started by `agrae-lab sweep run` on Slurm or Ray "
            "(docs/clusters.md), or by a launcher on each machine (docs/scale.md)"
        )
    layout.check_machine(torch.cuda.device_count())
    program = ["-m", "agrae_lab.process", "agrae_lab.train", str(run_dir)]
    process = subprocess.Popen(launchers.command(config, program), env=launchers.environment())
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        process.wait()
    except KeyboardInterrupt:  # the launcher has received it too
        process.wait()
        raise
    return runs.read_run(run_dir).status


def _run() -> None:
    """Call `main`; an error of Hydra before the configuration is composed ends the program with one sentence."""
    let_hydra_raise()
    try:
        main()
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        if not was_let_raise():  # HYDRA_FULL_ERROR=1 asks for the whole traceback
            raise
        sys.exit(f"agrae_lab: {one_sentence(error)}")


@hydra.main(config_path=str(CONF_DIR), config_name="config", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Train and evaluate one run, in this process or in several that a launcher starts."""
    leave_errors_to_hydra()
    try:
        config = freeze(cfg)
        _check_packages(config)
        run_dir = _created(config)
        is_started = is_launched() or Layout.of(config).processes == 1
        status = execute(run_dir, config=config) if is_started else _launch(config, run_dir)
    except (ConfigError, ModelError, RunError) as error:
        sys.exit(f"agrae_lab: {error}")
    except KeyboardInterrupt:
        sys.exit("agrae_lab: interrupted. The same command resumes this run")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sys.exit(f"agrae_lab: {out_of_memory_message(error)}")
    if is_main():
        print(ending(runs.read_run(run_dir)))
    if status != "done":
        sys.exit(1)


if __name__ == "__main__":
    try:
        sys.argv[1:] = for_multirun(take_json_flag(sys.argv[1:]))  # Hydra knows no flags but its own
    except ValueError as error:
        sys.exit(f"agrae_lab: {error}")
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text())
        sys.exit()
    # Hydra finds launcher plugins in the namespace package hydra_plugins, wherever it lies on the path.
    sys.path.append(str(CONF_DIR.parent / "sweeps" / "plugins"))
    _run()
