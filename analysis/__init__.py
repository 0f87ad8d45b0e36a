"""From run directories to figures, tables and verdicts: `python -m analysis runs=<root>`.

    frames.py    run directories → frames; refuses what cannot be trusted or compared
    passk.py     Pass@k from counts: the estimator, its within-problem variance, the bootstrap over problems
    stats.py     intervals: t over seeds, Welch, the block interval for the steps of one run
    curves.py    Pass@k curves and paired differences of the arms of a study, with intervals
    series.py    per-step metrics of the arms of a study, with intervals over seeds
    theory.py    closed forms of Σ|A| against the success rate
    claims.py    the paper's claims C1, C2, C3, C5, C8, each judged from frames
    verdicts.py  how a claim is judged: parts, intervals, the rule
    style.py     colours, names, rcParams
    figures/     one file per figure: QUESTION, NAME, table(study), caption(table), draw(table, ax)
    simulation/  the same for what the behaviour-space simulator recorded (`simulation=<dir>`)
    render.py    a figure module → PNG, PDF, CSV, caption
    report.py    passk_table.{csv,md}, summary.md, what is printed

The room reads run directories only. It imports neither torch nor a trainer, and nothing from agrae_lab but runs.py.
Estimates are shares in [0, 1] in every CSV; percent is for readers' eyes (figures, Markdown, terminal).
"""
