"""The P4_16 front end: source text in, `ir.Program` or diagnostics out."""
