// Boards: memory that peers of the same host can read, and the doorbell that goes with it.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/resource.h>

#include <atomic>
#include <random>

#include "process.h"

namespace weft::datapath::shm::test {
namespace {

TEST_CASE("boards are disjoint, aligned, zeroed, and come back") {
    ShmOptions options;
    options.board_bytes = 1 << 20;
    Node node(identity(0xa), options);
    std::mt19937_64 random(3);
    std::vector<Board> boards;
    for (int step = 0; step < 2000; ++step) {
        if (random() % 2 == 0 && !boards.empty()) {
            boards.erase(boards.begin() + static_cast<std::ptrdiff_t>(random() % boards.size()));
        } else if (boards.size() < 50) {
            Board board = node.datapath->allocate_board(1 + random() % 10000);
            CHECK(board.offset() % 64 == 0);
            for (std::size_t i = 0; i < board.size(); ++i) {
                REQUIRE(board.data()[i] == std::byte{0});
            }
            std::memset(board.data(), 0xff, board.size());
            for (const Board& other : boards) {
                REQUIRE((board.data() + board.size() <= other.data() ||
                         other.data() + other.size() <= board.data()));
            }
            boards.push_back(std::move(board));
        }
    }
    CHECK_THROWS_WITH_AS(node.datapath->allocate_board(2 << 20),
                         doctest::Contains("no room for a board"), Error);
    boards.clear();
    CHECK(node.datapath->stats_json().find("\"board_bytes\":0") != std::string::npos);
    CHECK(node.datapath->allocate_board((1 << 20) - 64).size() > 0);  // all in one piece again
    Board last = node.datapath->allocate_board(8);
    node.datapath.reset();
    last.data()[0] = std::byte{1};  // outlives the datapath
}

TEST_CASE("peers read boards, only boards, and only inside the segment") {
    Node a(identity(0xa));
    Process process(node_process(a, {}, [](Node& node, int pipe) {
        Board board = node.datapath->allocate_board(64);
        auto& counter = *reinterpret_cast<std::atomic<std::uint64_t>*>(board.data());
        tell(pipe, std::to_string(board.offset()));
        for (std::uint64_t i = 1;; ++i) {
            counter.store(i, std::memory_order_release);
            node.progress();
        }
        return 0;
    }));
    REQUIRE(drive({&a}, [&] { return a.opened == 1; }));
    const std::uint64_t offset = std::stoull(hear(process.pipe()));
    const auto memory = a.datapath->peer_memory(0xc, offset, 64);
    REQUIRE(memory != nullptr);
    const auto& counter = *reinterpret_cast<const std::atomic<std::uint64_t>*>(memory.get());
    CHECK(drive({&a}, [&] { return counter.load(std::memory_order_acquire) > 1000; }));

    CHECK(a.datapath->peer_memory(0xdead, offset, 64) == nullptr);
    CHECK(a.datapath->peer_memory(0xc, 0, 64) == nullptr);  // the header is none of their business
    CHECK(a.datapath->peer_memory(0xc, offset, std::size_t{1} << 40) == nullptr);
    CHECK(a.datapath->peer_memory(0xc, ~std::uint64_t{0} - 10, 64) == nullptr);

    process.signal(SIGKILL);
    REQUIRE(drive({&a}, [&] { return a.failed == 1; }));
    CHECK(counter.load() > 1000);  // still mapped while we hold it
    CHECK(a.datapath->peer_memory(0xc, offset, 64) == nullptr);
}

TEST_CASE("a nudge wakes a peer that sleeps on a board") {
    Pair pair;
    pair.settle();
    pair.a.datapath->nudge(0xb);
    pollfd fd{pair.b.datapath->wait_fds()[0], POLLIN, 0};
    REQUIRE(pair.b.datapath->arm());
    CHECK(poll(&fd, 1, 0) == 0);  // was awake: nobody rang
    pair.a.datapath->nudge(0xb);
    CHECK(poll(&fd, 1, 1000) == 1);
    pair.b.datapath->disarm();
    pair.b.progress();
    CHECK(poll(&fd, 1, 0) == 0);
    pair.a.datapath->nudge(0xdead);  // nobody
}

TEST_CASE("an armed datapath that has work refuses to sleep") {
    Pair pair;
    pair.settle();
    auto send = make_op(8, 1);
    pair.a.channel->send(send->transfer);
    CHECK_FALSE(pair.b.datapath->arm());
    pair.b.datapath->disarm();
    pair.b.progress();
    CHECK(pair.b.unmatched == 1);
    CHECK(pair.b.datapath->arm());
    pair.b.datapath->disarm();
}

TEST_CASE("limits that are too low give RESOURCES with the mend, not a crash") {
    const auto with_limit = [](auto resource, rlim_t limit, const std::function<void()>& body) {
        rlimit before{};
        getrlimit(resource, &before);
        const rlimit low{limit, before.rlim_max};
        setrlimit(resource, &low);
        body();
        setrlimit(resource, &before);
    };
    const auto refused = [](const char* word) {
        try {
            Node node(identity(0xa));
        } catch (const Error& error) {
            return error.info()->status == WEFT_ERR_RESOURCES &&
                   error.info()->message.find(word) != std::string::npos;
        }
        return false;
    };
    signal(SIGXFSZ, SIG_IGN);
    with_limit(RLIMIT_FSIZE, 1 << 20, [&] { CHECK(refused("ulimit -f")); });
    signal(SIGXFSZ, SIG_DFL);
    with_limit(RLIMIT_NOFILE, 3, [&] { CHECK(refused("ulimit -n")); });
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    MESSAGE("no test of RLIMIT_AS: the sanitizer itself needs address space");
#else
    with_limit(RLIMIT_AS, 1 << 20, [&] { CHECK(refused("ulimit -v")); });
#endif
    ShmOptions options;
    options.eager_limit = kMaxEagerLimit + 1;
    CHECK_THROWS_WITH_AS(Node(identity(0xa), options), doctest::Contains("eager_limit"), Error);
}

}  // namespace
}  // namespace weft::datapath::shm::test
