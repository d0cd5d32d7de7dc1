// These tests need an RDMA device. Elsewhere they say so and count as skipped: `make test-rdma`
// runs them in a virtual machine that has one.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <exception>
#include <string>

#include "datapath/verbs/libibverbs.h"

namespace {

constexpr int kSkipped = 77;  // to ctest

const char* why_not() {
    static std::string reason;
    try {
        if (weft::datapath::verbs::load_libibverbs()->devices().empty()) {
            reason = "there is no RDMA device";
        }
    } catch (const std::exception& error) {
        reason = error.what();
    }
    return reason.empty() ? nullptr : reason.c_str();
}

}  // namespace

int main(int argc, char** argv) {
    if (const char* reason = why_not(); reason != nullptr) {
        std::fprintf(stderr, "skipped: %s; make test-rdma brings one\n", reason);
        return kSkipped;
    }
    return doctest::Context(argc, argv).run();
}
