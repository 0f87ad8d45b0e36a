"""Laws of estimators. `Estimator.laws` lists those an estimator declares; `suite.py` tests them.

`ALWAYS` holds for every estimator and is not declared. A base link declares the others that it keeps in LAWS; it keeps
those in `DEFAULT` unless they are in its BREAKS. A link of another slot declares the laws that it BREAKS.
"""

MEANING = {
    "finite": "A is finite, of the dtype and shape of the rewards (a token link adds an axis)",
    "pure": "the rewards are left as they are, and the same batch gives the same A",
    "invalid_left_out": "an invalid completion gets 0, the others what they would get without it",
    "permutation_equivariant": "the order of a group's completions does not matter",
    "zero_on_ties": "A = 0 for a group whose rewards are all equal",
    "shift_invariant": "adding a constant to all rewards changes nothing",
    "zero_sum": "ΣA = 0 in every group: the group-level symmetry of A-GRAE's paper (Eq. 5)",
    "sign_preserving": "A has the sign of r − mean(r)",
    "groups_independent": "a group's advantages do not depend on the other groups of the batch",
}
ALWAYS = frozenset({"finite", "pure", "invalid_left_out"})
DEFAULT = frozenset({"permutation_equivariant"})
OPTIONAL = frozenset(MEANING) - ALWAYS
