// What one edge of the UDP datapath carries between two processes: a one-way stream, an exchange in
// both directions, and the round trip of small messages. One process per end, each given the
// interface to use and a folder in which the two leave their addresses for each other.
// benchmarks/udp.py makes the network namespaces and starts both.
//
//   bench_udp caller|called INTERFACE FOLDER [MESSAGE_BYTES TOTAL_BYTES KEY=VALUE...]
//
// Prints one JSON object per measurement: bytes per second, and CPU seconds per gigabyte of this
// process.
#include "datapath/udp/udp.h"

#include <poll.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace weft::datapath;

constexpr Time kSecond = 1'000'000'000;
constexpr Time kSpin = 50'000;     // as the engine does: spin a little, then sleep
constexpr std::size_t kDepth = 4;  // messages under way at once

Time clock_now() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Time{ts.tv_sec} * kSecond + ts.tv_nsec;
}

double cpu_seconds() {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class End final : public ChannelOwner, public Acceptor, public TransferObserver {
  public:
    End(bool calls, const UdpOptions& options) : calls_(calls) {
        Identity identity;
        identity.id = calls ? 1 : 2;
        udp_ = std::make_unique<UdpDatapath>(identity, *this, options);
    }

    // The addresses meet in files, written under another name first so that no half file is read.
    void open(const std::filesystem::path& folder) {
        const auto mine = folder / (calls_ ? "caller" : "called");
        const auto theirs = folder / (calls_ ? "called" : "caller");
        std::ofstream(mine.string() + ".new", std::ios::binary) << udp_->address();
        std::filesystem::rename(mine.string() + ".new", mine);
        const Time deadline = clock_now() + 10 * kSecond;
        while (!std::filesystem::exists(theirs) && clock_now() < deadline) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        if (calls_) {
            std::ifstream in(theirs, std::ios::binary);
            const std::string address((std::istreambuf_iterator<char>(in)),
                                      std::istreambuf_iterator<char>());
            channel_ = udp_->connect(2, address, *this, deadline);
        }
        drive([&] { return open_ || failed_; });
    }

    Channel& channel() { return *channel_; }
    bool failed() const { return failed_; }
    // From now on the other end may leave.
    void finish() { finished_ = true; }
    const UdpDatapath& udp() const { return *udp_; }

    template <typename Condition>
    void drive(Condition condition) {
        Time idle_since = clock_now();
        while (!condition() && !failed_) {
            const Time now = clock_now();
            if (udp_->progress(now)) {
                idle_since = now;
            } else if (now - idle_since > kSpin && udp_->arm()) {
                const Time wait = std::clamp<Time>(udp_->next_wakeup() - now, 0, kSecond);
                pollfd ready{udp_->wait_fds().front(), POLLIN, 0};
                const timespec timeout{wait / kSecond, wait % kSecond};
                ppoll(&ready, 1, &timeout, nullptr);
                udp_->disarm();
            }
        }
    }

    void channel_open(Channel&) override { open_ = true; }
    void message_unmatched(Channel&, const Tag&, std::uint64_t, std::size_t) override {}
    void channel_failed(Channel&, const weft::ErrorPtr& error) override {
        if (!finished_) {
            failed_ = true;
            std::cerr << error->message << "\n";
        }
    }
    ChannelOwner* owner_for(PeerId) override { return this; }
    void accepted(std::unique_ptr<Channel> channel) override { channel_ = std::move(channel); }
    void transfer_done(Transfer& transfer) noexcept override {
        failed_ = failed_ || transfer.state == Transfer::State::kFailed;
    }

  private:
    const bool calls_;
    std::unique_ptr<UdpDatapath> udp_;
    std::unique_ptr<Channel> channel_;
    bool open_ = false;
    bool failed_ = false;
    bool finished_ = false;
};

// A lane of messages in one direction: always kDepth of them under way.
class Lane {
  public:
    Lane(End& end, bool sends, std::uint64_t group, std::size_t size)
        : end_(end), sends_(sends), buffer_(kDepth * size), slots_(kDepth) {
        for (std::size_t i = 0; i < kDepth; ++i) {
            slots_[i].tag = {group, i};
            slots_[i].data = buffer_.data() + i * size;
            slots_[i].size = size;
            slots_[i].observer = &end;
        }
    }

    void start(std::size_t i) {
        sends_ ? end_.channel().send(slots_[i]) : end_.channel().recv(slots_[i]);
    }
    bool idle(std::size_t i) const { return slots_[i].state != Transfer::State::kPending; }

    // Moves `count` messages, oldest slot first, and waits for the last.
    void run(std::uint64_t count) {
        for (std::uint64_t i = 0; i < count; ++i) {
            end_.drive([&] { return idle(i % kDepth); });
            start(i % kDepth);
        }
        for (std::size_t i = 0; i < kDepth; ++i) {
            end_.drive([&] { return idle(i); });
        }
    }

  private:
    End& end_;
    bool sends_;
    std::vector<std::byte> buffer_;
    std::vector<Transfer> slots_;
};

void report(const char* test, std::size_t size, double bytes, Time elapsed, double cpu) {
    std::cout << "{\"test\":\"" << test << "\",\"message_bytes\":" << size
              << ",\"bytes_per_second\":" << bytes / (1e-9 * static_cast<double>(elapsed))
              << ",\"cpu_seconds_per_gb\":" << cpu / (bytes / 1e9) << "}" << std::endl;
}

void stream(End& end, bool calls, std::size_t size, std::uint64_t count, const char* name) {
    Lane lane(end, calls, 1, size);
    const double cpu = cpu_seconds();
    const Time begin = clock_now();
    lane.run(count);
    report(name, size, static_cast<double>(size) * static_cast<double>(count), clock_now() - begin,
           cpu_seconds() - cpu);
}

void exchange(End& end, std::size_t size, std::uint64_t count) {
    Lane out(end, true, 2, size), in(end, false, 2, size);
    const double cpu = cpu_seconds();
    const Time begin = clock_now();
    for (std::uint64_t i = 0; i < count; ++i) {
        end.drive([&] { return out.idle(i % kDepth) && in.idle(i % kDepth); });
        in.start(i % kDepth);
        out.start(i % kDepth);
    }
    end.drive([&] {
        bool idle = true;
        for (std::size_t i = 0; i < kDepth; ++i) {
            idle = idle && out.idle(i) && in.idle(i);
        }
        return idle;
    });
    report("exchange, each way", size, static_cast<double>(size) * static_cast<double>(count),
           clock_now() - begin, cpu_seconds() - cpu);
}

void ping_pong(End& end, bool calls, std::size_t size, int count) {
    std::vector<std::byte> bytes(2 * size);
    Transfer out, in;
    out.data = bytes.data();
    in.data = bytes.data() + size;
    out.size = in.size = size;
    out.observer = in.observer = &end;
    const Time begin = clock_now();
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(count); ++i) {
        out.tag = in.tag = {3, i};
        end.channel().recv(in);
        if (calls) {
            end.channel().send(out);
        }
        end.drive([&] { return in.state != Transfer::State::kPending; });
        if (!calls) {
            end.channel().send(out);
        }
        end.drive([&] { return out.state != Transfer::State::kPending; });
    }
    const Time elapsed = clock_now() - begin;
    std::cout << "{\"test\":\"ping-pong\",\"message_bytes\":" << size
              << ",\"microseconds_one_way\":" << 1e-3 * static_cast<double>(elapsed) / (2.0 * count)
              << "}" << std::endl;
}

void idle_cost(End& end) {
    constexpr int kRounds = 100'000;
    auto& udp = const_cast<UdpDatapath&>(end.udp());
    const Time begin = clock_now();
    for (int i = 0; i < kRounds; ++i) {
        udp.progress(clock_now());
    }
    std::cout << "{\"test\":\"idle progress\",\"nanoseconds\":" << (clock_now() - begin) / kRounds
              << "}" << std::endl;
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc < 4) {
        std::cerr << "usage: bench_udp caller|called INTERFACE FOLDER [MESSAGE_BYTES TOTAL_BYTES "
                     "KEY=VALUE...]\n";
        return 2;
    }
    const bool calls = std::strcmp(argv[1], "caller") == 0;
    const std::size_t size = argc > 4 ? std::stoull(argv[4]) : 64 << 20;
    const std::uint64_t total = argc > 5 ? std::stoull(argv[5]) : std::uint64_t{8} << 30;
    std::map<std::string, std::string> pairs;
    for (int i = 6; i < argc; ++i) {
        const std::string pair = argv[i];
        pairs[pair.substr(0, pair.find('='))] = pair.substr(pair.find('=') + 1);
    }
    End end(calls, UdpOptions::parse(pairs, argv[2]));
    end.open(argv[3]);
    const std::uint64_t count = std::max<std::uint64_t>(total / size, 1);
    stream(end, calls, size, std::max<std::uint64_t>(count / 8, 1), "warm-up");
    stream(end, calls, size, count, "stream");
    exchange(end, size, count);
    ping_pong(end, calls, 8, 2000);
    ping_pong(end, calls, 64 << 10, 500);
    end.finish();
    if (calls) {
        idle_cost(end);
    }
    std::cerr << end.channel().stats_json() << "\n" << end.udp().stats_json() << "\n";
    end.channel().close();
    return end.failed() ? 1 : 0;
} catch (const std::exception& error) {
    std::cerr << "bench_udp: " << error.what() << "\n";
    return 1;
}
