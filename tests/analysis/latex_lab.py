"""LaTeX on test pages."""

from __future__ import annotations

import subprocess
from pathlib import Path


def set_in_latex(folder: Path, *texts: str) -> str:
    """LaTeX's log of a page 6.9 inches wide."""
    preamble = (
        r"\documentclass[twocolumn]{article}\usepackage[letterpaper,textwidth=6.9in]{geometry}\usepackage{booktabs}"
    )
    document = "\n".join([preamble, r"\begin{document}", *texts, r"\end{document}"])
    (folder / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
    log = done.stdout.decode("utf-8", errors="replace")
    assert done.returncode == 0, log[-2000:]
    return log
