#define OWN_INGRESS
#include "types.p4"

error { Mine }
struct mine_t { error e; }
control MyIngress(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    mine_t t;
    apply {
        t.e = s.parser_error;
        if (t.e == error.NoError) { h.d.a = 1; }
        t.e = error.Mine;
        error q = t.e;
        if (q != error.NoError) { h.d.b = 1; }
        switch (q) { error.Mine: { h.d.c = 1; } }
    }
}

#include "frame.p4"
