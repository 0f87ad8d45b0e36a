"""Analysis of run directories: figures, tables, verdicts and a report, by `python -m analysis runs=<root>`.

Rooms, in the order in which they may import each other:
    io/            run directories and their Parquet files → checked frames
    statistics/    intervals, tests and estimators from counts of correct samples and per-step values
    presentation/  colours, captions and layouts; a figure or table module → files
    estimates/     Pass@k and maj@k curves, per-step series and comparisons of a study's arms, with intervals
    claims/        the paper's claims C1 to C8, each judged by one rule
    figures/       one module per figure: QUESTION, NAME, PAPER, table(study), caption(table), draw(table, ax)
    tables/        one module per table: QUESTION, NAME, PAPER, table(study), layout(table)
    simulation/    figures of a recorded simulation (`simulation=<dir>`)
    published/     the paper's numbers, shown beside ours
    report/        summary.md, report.html and the lines on the terminal

Commands:
    __main__.py    `python -m analysis`; arguments.py parses its words
    audit/         consistency of a published Pass@k table (`audit <table.csv>`)
    pareto.py      Pareto front of a search

The analysis reads run directories only. It imports neither torch nor a trainer, and of agrae_lab only `runs`.
Estimates are shares in [0, 1] in every CSV; figures, Markdown, HTML and terminal show percent.
"""
