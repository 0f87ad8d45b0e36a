"""The room needs torch alone: a copy of its folder works with every other package refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import torch

ROOM = Path(__file__).resolve().parents[2] / "agrae_lab" / "advantages"

# -I: neither PYTHONPATH nor the current directory; -S: no site-packages, so no .pth file leads back to this project.
# torch's folder is then added, and of what lies beside it only torch's own requirements are let through.
PROGRAM = """
import json, sys

ALLOWED = {"torch", "torchgen", "functorch", "typing_extensions", "filelock", "sympy", "mpmath", "networkx", "jinja2",
           "markupsafe", "fsspec", "setuptools", "triton", "nvidia", "cuda", "agrae_lab"} | set(sys.stdlib_module_names)
refused = set()

class Gate:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in ALLOWED:
            refused.add(name.split(".")[0])
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Gate())
sys.path[:0] = [COPY, SITE]

import agrae_lab
import torch
assert agrae_lab.__path__ == [COPY + "/agrae_lab"], agrae_lab.__path__

from agrae_lab.advantages import FLAVORS, SLOTS, diagnose, links, make, preset_names
from agrae_lab.advantages.__main__ import main
from agrae_lab.advantages.adapters import trl, verl
from agrae_lab.advantages.properties import suite

nan = float("nan")
rewards = torch.tensor([[1.0, 0, 0, 0, nan, 1, 0, 0], [1, 1, 0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0]])
estimators = [make(name, flavor=flavor) for name in preset_names() for flavor in FLAVORS]
estimators += [make("grpo", **{slot: name}) for slot in SLOTS[1:] for name in links(slot)]
for estimator in estimators:
    advantages = suite.advantages_of(estimator, suite.batch_of(rewards, requires=estimator.requires))
    assert advantages.isfinite().all(), estimator.name

table, page, check = main([]), main(["page", "out=" + COPY + "/docs"]), main(["check", OWN + ":Own"])
print(json.dumps({"names": [e.name for e in estimators], "refused": sorted(refused), "codes": [table, page, check]}))
"""

OWN = '''
from dataclasses import dataclass
from typing import ClassVar
from agrae_lab.advantages.statistics import centred

@dataclass(frozen=True)
class Own:
    """A = r − mean(r)   (Dr.GRPO)."""
    LAWS: ClassVar = frozenset(
        {"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"}
    )
    def __call__(self, rewards_PG, context):
        return centred(rewards_PG)
'''


def test_a_copy_of_the_room_works_with_torch_alone(tmp_path):
    shutil.copytree(ROOM, tmp_path / "agrae_lab" / "advantages", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "agrae_lab" / "__init__.py").touch()
    (tmp_path / "own.py").write_text(OWN)
    places = {"COPY": tmp_path, "SITE": Path(torch.__file__).parents[1], "OWN": tmp_path / "own.py"}
    program = "\n".join(f"{name} = {str(path)!r}" for name, path in places.items()) + PROGRAM
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "ignore", "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    said = json.loads(result.stdout.splitlines()[-1])
    assert "a_grae" in said["names"]
    assert "all that it declares holds" in result.stdout
    assert said["codes"] == [0, 2, 0]  # the page's figure, and it alone, wants Matplotlib
    assert "No module named 'matplotlib'" in result.stderr
    assert "matplotlib" in said["refused"]  # the gate was there
