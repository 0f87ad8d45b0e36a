"""Analysis of run directories: figures, tables, verdicts and a report, by `python -m analysis runs=<root>`.

Rooms, in the order in which they may import each other:
    io/            run directories and their Parquet files → checked frames
    statistics/    intervals, tests and estimators from counts of correct samples and per-step values
    presentation/  style, shared sentences and layouts; files of figures and tables
    estimates/     Pass@k and maj@k curves, per-step series and comparisons of a study's arms, with intervals
    claims/        the paper's claims C1 to C8, each judged by one rule
    figures/       one file per figure or family of figures; __init__.py names its parts
    tables/        one file per table; __init__.py names its parts
    simulation/    figures of a recorded simulation (`simulation=<dir>`)
    published/     the paper's numbers
    report/        summary.md, report.html and the lines on the terminal

Commands:
    __main__.py    `python -m analysis`; arguments.py parses its words
    audit/         consistency of a published Pass@k table (`audit <table.csv>`)
    pareto.py      Pareto front of a search

The analysis reads run directories only. It imports neither torch nor a trainer, and of agrae_lab only `runs`.
Estimates are shares in [0, 1] in every CSV; figures, Markdown, HTML and terminal show percent.
"""
