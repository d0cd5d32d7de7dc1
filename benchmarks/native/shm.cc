// What the shared-memory datapath can do, between two processes pinned to two cores: latency of
// small messages, bandwidth of large ones by each way, with a plain receive and with a float sum,
// in one direction and in both at once.
//
//   bench_shm [latency|bandwidth|exchange|idle|all] [BYTES]     (BYTES: this size only)
//
// One line per measurement: median and best of several rounds. Bandwidth counts a message's bytes
// once per direction.
#include "datapath/shm/shm.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

namespace {

using namespace weft::datapath;

Time clock_now() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Time{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

#if defined(__x86_64__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
void add(float* x, const float* y, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        x[i] += y[i];
    }
}

struct FloatSum final : Reducer {
    void combine(std::byte* acc, const std::byte* incoming,
                 std::size_t bytes) const noexcept override {
        add(reinterpret_cast<float*>(acc), reinterpret_cast<const float*>(incoming),
            bytes / sizeof(float));
    }
};

// What both processes see: where to call, and a barrier.
struct Meeting {
    char address[256];
    std::atomic<int> ready;
    std::atomic<long> arrived;
};

struct Done final : TransferObserver {
    void transfer_done(Transfer&) noexcept override { ++count; }
    long count = 0;
};

class Side final : public ChannelOwner, public Acceptor {
  public:
    Side(Meeting& meeting, int rank, const ShmOptions& options) : meeting_(meeting), rank_(rank) {
        Identity identity;
        identity.id = rank == 0 ? 1 : 2;
        datapath_ = std::make_unique<ShmDatapath>(identity, *this, options);
        if (rank == 0) {
            const std::string address = datapath_->address();
            std::memcpy(meeting.address, address.data(), address.size() + 1);
            meeting.ready = 1;
        } else {
            while (meeting.ready == 0) {
            }
            channel_ = datapath_->connect(1, meeting.address, *this, clock_now() + 5'000'000'000);
        }
        drive([&] { return channel_ && channel_->state() == Channel::State::kOpen; });
    }
    ~Side() { barrier(); }

    void channel_open(Channel&) override {}
    void message_unmatched(Channel&, const Tag&, std::uint64_t, std::size_t) override {}
    void channel_failed(Channel&, const weft::ErrorPtr& error) override {
        std::fprintf(stderr, "rank %d: %s\n", rank_, error->message.c_str());
        _exit(1);
    }
    ChannelOwner* owner_for(PeerId) override { return this; }
    void accepted(std::unique_ptr<Channel> channel) override { channel_ = std::move(channel); }

    template <typename Condition>
    void drive(Condition done) {
        Time now = clock_now();
        for (int round = 0; !done(); ++round) {
            if (!datapath_->progress(now)) {
#if defined(__x86_64__)
                __builtin_ia32_pause();
#endif
            }
            if (round % 32 == 0) {
                now = clock_now();
            }
        }
    }
    void barrier() {
        const long target = (++barriers_) * 2;
        ++meeting_.arrived;
        drive([&] { return meeting_.arrived >= target; });
    }
    Channel& channel() { return *channel_; }
    int rank() const { return rank_; }

  private:
    Meeting& meeting_;
    const int rank_;
    std::unique_ptr<ShmDatapath> datapath_;
    std::unique_ptr<Channel> channel_;
    long barriers_ = 0;
};

Transfer transfer(std::byte* data, std::size_t size, Done& done, const Reducer* reducer = nullptr) {
    Transfer t;
    t.tag = {1, 1};
    t.data = data;
    t.size = size;
    t.observer = &done;
    t.reducer = reducer;
    return t;
}

std::pair<double, double> median_and_best(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return {values[values.size() / 2], values.front()};
}

void latency(Side& side, std::size_t size) {
    std::vector<std::byte> out(size + 64), in(size + 64);
    Done sent, got;
    std::vector<double> rounds;
    const int count = size <= 4096 ? 20000 : 2000;
    for (int round = 0; round < 11; ++round) {
        side.barrier();
        const Time begin = clock_now();
        for (int i = 0; i < count; ++i) {
            Transfer send = transfer(out.data(), size, sent), recv = transfer(in.data(), size, got);
            const long want = got.count + 1;
            side.channel().recv(recv);
            if (side.rank() == 0) {
                side.channel().send(send);
                side.drive([&] { return got.count == want; });
            } else {
                side.drive([&] { return got.count == want; });
                side.channel().send(send);
            }
            side.drive([&] { return send.state != Transfer::State::kPending; });
        }
        rounds.push_back(static_cast<double>(clock_now() - begin) / (2.0 * count));
    }
    if (side.rank() == 0) {
        const auto [median, best] = median_and_best(rounds);
        std::printf("latency    %9zu B                       one way %9.1f ns (best %.1f)\n", size,
                    median, best);
    }
}

void bandwidth(Side& side, const char* way, std::size_t size, bool reduce, bool both) {
    static const FloatSum sum;
    constexpr int kWindow = 4;
    std::vector<std::byte> out(size), in(size);
    Done sent, got;
    std::vector<double> rounds;
    const long count = std::clamp<long>(static_cast<long>((64u << 20) / size), 4, 4000);
    const bool sends = both || side.rank() == 0, receives = both || side.rank() == 1;
    for (int round = 0; round < 7; ++round) {
        side.barrier();
        Transfer send[kWindow], recv[kWindow];
        long send_posted = 0, recv_posted = 0;
        const long sent_before = sent.count, got_before = got.count;
        const Time begin = clock_now();
        side.drive([&] {
            while (sends && send_posted < count &&
                   send_posted - (sent.count - sent_before) < kWindow) {
                Transfer& t = send[send_posted++ % kWindow];
                t = transfer(out.data(), size, sent);
                side.channel().send(t);
            }
            while (receives && recv_posted < count &&
                   recv_posted - (got.count - got_before) < kWindow) {
                Transfer& t = recv[recv_posted++ % kWindow];
                t = transfer(in.data(), size, got, reduce ? &sum : nullptr);
                side.channel().recv(t);
            }
            return (!sends || sent.count - sent_before == count) &&
                   (!receives || got.count - got_before == count);
        });
        side.barrier();
        rounds.push_back(static_cast<double>(clock_now() - begin) / static_cast<double>(count));
    }
    if (side.rank() == 0) {
        const auto [median, best] = median_and_best(rounds);
        const double bytes = static_cast<double>(size);
        std::printf("bandwidth  %9zu B  %-8s %-4s %-8s %7.2f GB/s (best %.2f)  %10.2f us each\n",
                    size, way, reduce ? "sum" : "copy", both ? "both" : "one way", bytes / median,
                    bytes / best, median / 1000);
        std::fflush(stdout);
    }
}

// What a two-rank all-reduce does: exchange halves and add them, then exchange the sums.
void exchange(Side& side, const char* way, std::size_t size) {
    static const FloatSum sum;
    std::vector<std::byte> buffer(size);
    const std::size_t half = size / 2;
    std::byte* const mine = buffer.data() + (side.rank() == 0 ? 0 : half);
    std::byte* const other = buffer.data() + (side.rank() == 0 ? half : 0);
    Done done;
    std::vector<double> rounds;
    const int count = static_cast<int>(std::clamp<std::size_t>((64u << 20) / size, 4, 1000));
    for (int round = 0; round < 7; ++round) {
        side.barrier();
        const Time begin = clock_now();
        for (int i = 0; i < count; ++i) {
            for (int phase = 0; phase < 2; ++phase) {
                Transfer recv =
                    transfer(phase == 0 ? mine : other, half, done, phase == 0 ? &sum : nullptr);
                Transfer send = transfer(phase == 0 ? other : mine, half, done);
                side.channel().recv(recv);
                side.channel().send(send);
                side.drive([&] {
                    return recv.state == Transfer::State::kDone &&
                           send.state == Transfer::State::kDone;
                });
            }
        }
        side.barrier();
        rounds.push_back(static_cast<double>(clock_now() - begin) / count);
    }
    if (side.rank() == 0) {
        const auto [median, best] = median_and_best(rounds);
        const double bytes = static_cast<double>(size);
        std::printf(
            "all-reduce %9zu B  %-8s               %7.2f GB/s (best %.2f)  %10.2f us each\n", size,
            way, bytes / median, bytes / best, median / 1000);
        std::fflush(stdout);
    }
}

// One end of the idle measurement: accepts whoever comes.
class Hub final : public ChannelOwner, public Acceptor {
  public:
    explicit Hub(PeerId id) {
        Identity identity;
        identity.id = id;
        datapath_ = std::make_unique<ShmDatapath>(identity, *this);
    }
    void channel_open(Channel&) override {}
    void message_unmatched(Channel&, const Tag&, std::uint64_t, std::size_t) override {}
    void channel_failed(Channel&, const weft::ErrorPtr&) override {}
    ChannelOwner* owner_for(PeerId) override { return this; }
    void accepted(std::unique_ptr<Channel> channel) override {
        channels_.push_back(std::move(channel));
    }
    void call(Hub& other, PeerId id) {
        channels_.push_back(
            datapath_->connect(id, other.datapath_->address(), *this, clock_now() + 5'000'000'000));
        while (channels_.back()->state() == Channel::State::kConnecting) {
            datapath_->progress(clock_now());
            other.datapath_->progress(clock_now());
        }
    }
    ShmDatapath& datapath() { return *datapath_; }

  private:
    std::unique_ptr<ShmDatapath> datapath_;
    std::vector<std::unique_ptr<Channel>> channels_;
};

// What a spinning waiter pays per round for edges on which nothing happens.
void idle() {
    Hub hub(1000);
    std::vector<std::unique_ptr<Hub>> others;
    for (const std::size_t edges : std::initializer_list<std::size_t>{1, 3, 15, 63}) {
        while (others.size() < edges) {
            others.push_back(std::make_unique<Hub>(others.size() + 1));
            others.back()->call(hub, 1000);
        }
        std::vector<double> rounds;
        const Time now = clock_now();
        hub.datapath().progress(now);
        for (int round = 0; round < 11; ++round) {
            constexpr int kCalls = 20000;
            const Time begin = clock_now();
            for (int i = 0; i < kCalls; ++i) {
                hub.datapath().progress(now);
            }
            rounds.push_back(static_cast<double>(clock_now() - begin) / kCalls);
        }
        const auto [median, best] = median_and_best(rounds);
        std::printf("idle       %9zu edges                   one round %8.1f ns (best %.1f)\n",
                    edges, median, best);
    }
}

void measure(int rank, Meeting* meetings, const std::string& what, std::size_t only) {
    const auto wanted = [&](const char* name, std::size_t size) {
        return (what == name || what == "all") && (only == 0 || only == size);
    };
    static const struct {
        const char* name;
        ShmOptions::Large large;
    } kWays[] = {{"stream", ShmOptions::Large::kStream}, {"pull", ShmOptions::Large::kPull}};
    for (const auto& way : kWays) {
        ShmOptions options;
        options.large = way.large;
        Side side(*meetings++, rank, options);
        for (const std::size_t size : std::initializer_list<std::size_t>{
                 0, 8, 24, 64, 512, 4096, 16384, 16385, 65536, 262144}) {
            if (wanted("latency", size)) {
                latency(side, size);
            }
        }
        for (const std::size_t size : std::initializer_list<std::size_t>{
                 8, 1024, 16384, 65536, 262144, 1 << 20, 4 << 20, 16 << 20, 64 << 20}) {
            for (int mode = 0; mode < 4; ++mode) {
                if (wanted("bandwidth", size)) {
                    bandwidth(side, way.name, size, mode % 2 != 0, mode / 2 != 0);
                }
            }
        }
        for (const std::size_t size :
             std::initializer_list<std::size_t>{65536, 1 << 20, 4 << 20, 16 << 20, 64 << 20}) {
            if (wanted("exchange", size)) {
                exchange(side, way.name, size);
            }
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "all";
    const std::size_t only = argc > 2 ? std::stoul(argv[2]) : 0;
    if (what == "idle" || what == "all") {
        idle();
    }
    auto* const meetings =
        new (mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
            Meeting[2];
    const pid_t child = fork();
    const int rank = child == 0 ? 1 : 0;
    cpu_set_t core;
    CPU_ZERO(&core);
    CPU_SET(rank, &core);
    sched_setaffinity(0, sizeof core, &core);
    measure(rank, meetings, what, only);
    if (child == 0) {
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
