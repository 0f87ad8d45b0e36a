"""The laws an estimator may keep. `Estimator.laws` says which it does; the test suite holds each to its word.

All estimators are finite. A base link declares which of the others it keeps, `permutation_equivariant` apart, which it
keeps unless it declares that it BREAKS it:

zero_on_ties        A = 0 for a group whose rewards are all equal
shift_invariant     adding a constant to all rewards changes nothing
zero_sum            ΣA = 0 in every group: the group-level symmetry of the paper (Eq. 5)
sign_preserving     A has the sign of r − mean(r)
groups_independent  a group's advantages do not depend on the other groups of the batch
permutation_equivariant  the order of a group's completions does not matter
"""

DEFAULT = frozenset({"permutation_equivariant"})
OPTIONAL = DEFAULT | {"zero_on_ties", "shift_invariant", "zero_sum", "sign_preserving", "groups_independent"}
