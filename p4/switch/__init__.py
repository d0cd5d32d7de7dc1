"""The P4 switch: `Switch.load(path)` compiles a v1model program to native code and runs it."""

from weft.p4.switch.build import CompilerError as CompilerError
from weft.p4.switch.codegen import CodegenError as CodegenError
from weft.p4.switch.names import ControlError as ControlError
from weft.p4.switch.switch import Digest as Digest
from weft.p4.switch.switch import Output as Output
from weft.p4.switch.switch import Switch as Switch
