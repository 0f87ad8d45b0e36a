"""From run directories to figures, tables, verdicts and a report: `python -m analysis runs=<root>`.

Reading
    scan.py          Parquet files → checked columns, a piece at a time
    counts.py        evaluations → counts of correct samples, and which may be compared
    training.py      metrics by step, and groups of rollouts
    frames.py        which runs answer a question, and how they are looked at; refuses what cannot be trusted
    gaps.py          missing steps and metrics that are no numbers

Statistics
    passk.py         Pass@k from counts: the estimator and its within-problem variance
    metrics.py       what else counts say: pass^k, G-Pass@k, Cover@τ, areas, solved sets
    majority.py      maj@k from recorded answers; votes.py: its curves and differences
    stats.py         intervals: t over seeds, Welch, the block interval for the steps of one run
    multiplicity.py  simultaneous bands, and p-values corrected for a family
    proportions.py   exact intervals of shares of a handful of runs
    seeds.py         aggregates over benchmarks by resampling seeds, and how many seeds a claim needs
    evaluations.py   the arms of a benchmark, contrasts of them, names of scopes and methods
    error_sources.py problems and seeds as sources of error, with degrees of freedom
    contrasts.py     contrasts → intervals and simultaneous bands
    compare.py       one arm against another, in a named scope
    curves.py        Pass@k curves and paired differences of the arms of a study
    series.py        per-step metrics of the arms of a study
    collapse.py      which runs collapse, and when
    theory.py        closed forms of ΣA and Σ|A| against the success rate
    claims/          the paper's claims C1 to C8, each judged from frames
    verdicts.py      how a claim is judged: parts, intervals, the rule

Showing
    figures/         one file per figure: QUESTION, NAME, PAPER, table(study), caption(table), draw(table, ax)
    tables/          one file per table: QUESTION, NAME, PAPER, table(study), layout(table)
    simulation/      figures of what the behaviour-space simulator recorded (`simulation=<dir>`)
    published/       the paper's own numbers, to be set beside ours
    style.py         colours, names, rcParams; captions.py: sentences that figures and tables share
    render.py        a figure or table module → files; tabulate.py: a table → Markdown, LaTeX
    report.py        what a report says, in words and rows
    markdown.py      → summary.md, passk_table.md; terminal.py: → what is printed
    html/            → report.html, one file that can be sent

Commands
    __main__.py      `python -m analysis`; arguments.py: its words
    audit/           does a published Pass@k table fit together? (`audit <table.csv>`)
    pareto.py        the Pareto front of a search

The room reads run directories only. It imports neither torch nor a trainer, and nothing from agrae_lab but runs.py.
Estimates are shares in [0, 1] in every CSV; percent is for readers' eyes (figures, Markdown, HTML, terminal).
"""
