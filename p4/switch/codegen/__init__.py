"""From the typed IR to one C file: `generate(program)` gives the text and its numbering.

The C relies on the fixed runtime beside this package (`runtime/`); nothing here knows how it is
compiled or run.
"""

from weft.p4.switch.codegen.layout import CodegenError as CodegenError
from weft.p4.switch.codegen.program import Generated as Generated
from weft.p4.switch.codegen.program import generate as generate
