"""Laws of estimators. `Estimator.laws` lists those an estimator declares; `suite.py` tests them.

`ALWAYS` holds for every estimator and is not declared; the others, `DECLARABLE`, are. A base link keeps those in
`DEFAULT` unless they are in its BREAKS; it lists further ones in LAWS. A link of another slot lists the laws that it
breaks in BREAKS.
"""

MEANING = {
    "finite": "A is finite, of the dtype and shape of the rewards (a token link adds an axis)",
    "pure": "the rewards are left as they are, and the same batch from the same state gives the same A",
    "invalid_left_out": "an invalid completion gets 0, the others what they would get without it",
    "permutation_equivariant": "reordering a group's completions reorders its A in the same way",
    "zero_on_ties": "A = 0 for a group whose rewards are all equal",
    "shift_invariant": "adding a constant to all rewards changes nothing",
    "zero_sum": "ΣA = 0 in every group: the group-level symmetry of A-GRAE's paper (Eq. 5)",
    "sign_preserving": "A has the sign of r − mean(r)",
    "groups_independent": "a group's advantages do not depend on the other groups of the batch",
}
ALWAYS = frozenset({"finite", "pure", "invalid_left_out"})
DEFAULT = frozenset({"permutation_equivariant"})
DECLARABLE = frozenset(MEANING) - ALWAYS
