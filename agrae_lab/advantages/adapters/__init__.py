"""Our estimators in other trainers. One file each; the other library is imported only where it is at hand."""
