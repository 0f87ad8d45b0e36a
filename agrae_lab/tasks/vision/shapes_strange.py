"""Shapes with a strange look (see shapes.py), for evaluation outside the domain of the nano_vl world."""

from agrae_lab.tasks.vision.shapes import Shapes


class StrangeShapes(Shapes):
    name = "shapes_strange"


TASK = StrangeShapes()
