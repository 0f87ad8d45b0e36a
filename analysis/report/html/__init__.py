"""report.html: a study's report in one file that needs no network.

    completions.py  the sample of completions that the page shows
    choice.py       choice of the rows of that sample
    thumbnails.py   images of the problems
    embed.py        escaping of hostile text and data
    configs.py      settings that differ between arms
    provenance.py   revisions, packages and machines of the runs
    reproduce.py    commands that repeat the runs
    intervals.py    small drawings of a verdict's intervals
    page.py         the page, from all of the above
    templates/      its Jinja2 templates (autoescape on)
    static/         its style and its script

Completions are hostile text. The page holds them as JSON that cannot end its element, and the script inserts them as
text only. The page's Content-Security-Policy allows its own script, by hash, and no request. Sentences come from
result.py and the modules of figures and tables; nothing is estimated here.
"""

from analysis.report.html.page import report_page

__all__ = ["report_page"]
