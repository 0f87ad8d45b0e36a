"""Launcher of one machine's processes of a run on several machines: `python -m agrae_lab.node RUN NODE ADDRESS WORD…`.

Slurm's srun and Ray start it once on each machine. NODE is the machine's number, or `slurm`, as SLURM_NODEID says;
ADDRESS is `<host>:<port>` of machine 0, and the words follow `python` in each process.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from agrae_lab import runs
from agrae_lab.process import end_with_parent
from agrae_lab.runs import launchers

ADDRESS_VARIABLE = "AGRAE_LAB_ADDRESS"  # of machine 0, in the environment of its worker


def node_command(run_dir: str, node: int | str, address: str, program: Sequence[str]) -> list[str]:
    """Return the command that starts a machine's launcher."""
    return [sys.executable, "-P", "-m", "agrae_lab.node", run_dir, str(node), address, *program]


def main(argv: Sequence[str]) -> None:
    """Replace this program by the launcher of this machine's processes. Never returns."""
    run_dir, node, address, *program = argv
    number = int(os.environ["SLURM_NODEID"] if node == "slurm" else node)
    end_with_parent()
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # Slurm's, which the owner of the run acts on
    command = launchers.command(runs.read_run(run_dir).config, program, node=number, address=address)
    os.execvpe(command[0], command, launchers.environment())


if __name__ == "__main__":
    main(sys.argv[1:])
