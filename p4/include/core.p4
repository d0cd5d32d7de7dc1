/* The P4_16 core library (specification 1.2.5, appendix D): what every architecture shares. */
#ifndef _CORE_P4_
#define _CORE_P4_

error {
    NoError,               // nothing went wrong
    PacketTooShort,        // fewer bits in the packet than an extract or lookahead asked for
    NoMatch,               // no case of a select expression matched
    StackOutOfBounds,      // next or last of a full or empty header stack
    HeaderTooShort,        // a varbit field was given more bits than it can hold
    ParserTimeout,         // the parser took longer than the architecture allows
    ParserInvalidArgument  // a size that the target cannot handle (not a whole number of bytes)
}

extern packet_in {
    // Read a header of fixed size, make it valid, move on.
    void extract<T>(out T hdr);
    // The same for a header with one varbit field, whose size in bits is given.
    void extract<T>(out T variableSizeHeader, in bit<32> variableFieldSizeInBits);
    // Read without moving on.
    T lookahead<T>();
    // Move on without reading.
    void advance(in bit<32> sizeInBits);
    // Length of the packet in bytes.
    bit<32> length();
}

extern packet_out {
    // Append a header (if valid), or every header in a stack, union or struct.
    void emit<T>(in T hdr);
}

// End the parser with the given error unless the check holds.
extern void verify(in bool check, in error toSignal);

// The action that does nothing.
@noWarn("unused")
action NoAction() {}

match_kind {
    exact,
    ternary,
    lpm
}

// Evaluated by the compiler; a false check is a compile-time error.
extern bool static_assert(bool check, string message);
extern bool static_assert(bool check);

#endif
