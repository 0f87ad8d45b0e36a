"""Analysis of run directories: figures, tables, verdicts and a report, by `python -m analysis runs=<root>`.

    io/             Parquet files → checked frames; selection of a study's runs
    statistics/     Pass@k, intervals, contrasts, multiplicity, seeds, votes, collapse, closed forms of the update mass
    presentation/   style of the figures, shared sentences, table layout, files of figures and tables
    estimates/      Pass@k curves, votes, per-step series and pairwise comparisons of a study's arms
    claims/         the paper's claims C1 to C8, each judged from frames
    figures/        one file per figure or family of figures
    tables/         one file per table
    simulation/     figures of the behaviour-space simulator (`simulation=<dir>`)
    published/      the paper's own numbers
    report/         a study's result on the terminal, as summary.md and as report.html
    audit/          check of a published Pass@k table (`audit <table.csv>`)
    pareto.py       Pareto front of a search
    arguments.py    words of the command line
    __main__.py     the command

An arrow in docs/architecture.md gives the direction of imports. The package reads run directories only: it imports
neither torch nor a trainer, and of agrae_lab only agrae_lab.runs. Every CSV holds shares in [0, 1]; figures, Markdown,
HTML and the terminal show percent.
"""
