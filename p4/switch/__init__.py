"""The P4 switch: `codegen` makes C of a program, `runtime` carries it, `build` joins them."""
