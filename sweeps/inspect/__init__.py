"""Inspection of a root or a study: status, tables, comparisons, exports, removable files."""
