"""What a program needs of a chip, and whether it fits: `weft p4 fit`."""

from weft.p4.resources.fit import Fit as Fit
from weft.p4.resources.fit import Problem as Problem
from weft.p4.resources.fit import fit as fit
from weft.p4.resources.target import Target as Target
from weft.p4.resources.target import load as load
