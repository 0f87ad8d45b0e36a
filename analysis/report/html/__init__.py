"""report.html: a study in one file that asks nothing of any network.

    completions.py  which recorded completions are shown: a stated sample
    thumbnails.py   the pictures of their problems
    choice.py       how the rows of that sample are chosen
    embed.py        hostile text and data → what may stand in a page
    configs.py      in which settings the arms differ
    provenance.py   what made the runs
    reproduce.py    the commands that make them again
    intervals.py    the small drawings of a verdict's intervals
    page.py         all of it → the page
    templates/      its skeleton (Jinja2, autoescape on)
    static/         its style and its script

Completions are hostile text: they stand in the page as JSON in which nothing can end the element that holds it, and
the script puts them into the document as text alone. The page's Content-Security-Policy allows no script but its own,
by hash, and no request at all. Texts come from report.py and the modules; nothing is estimated here.
"""

from analysis.report.html.page import report_page

__all__ = ["report_page"]
