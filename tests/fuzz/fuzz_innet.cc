// A worker of an aggregation job under fire: the fuzzer's bytes are a script of genuine answers,
// answers with any header of the right job, noise and waiting. Whatever comes, the worker writes
// inside of its memory only, counts no chunk twice, and ends in a state that it says.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "innet/worker.h"

namespace {

using namespace weft::innet;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

class Script {
  public:
    Script(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
    bool empty() const { return left_ == 0; }
    std::uint8_t byte() {
        if (left_ == 0) return 0;
        --left_;
        return *data_++;
    }
    std::vector<std::uint8_t> take(std::size_t most) {
        const std::size_t size = std::min(most, left_);
        std::vector<std::uint8_t> bytes(data_, data_ + size);
        data_ += size;
        left_ -= size;
        return bytes;
    }

  private:
    const std::uint8_t* data_;
    std::size_t left_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Script script(data, size);
    constexpr std::uint16_t kValues = 16;
    const auto type = static_cast<Type>(script.byte() % 3);
    const std::size_t count = 1 + script.byte();
    const std::uint16_t slots = 1 + script.byte() % 4;
    const std::vector<std::byte> input(count * size_of(type), std::byte{script.byte()});
    std::vector<std::byte> output(input.size());  // exactly so long: a byte beyond it is found
    Worker worker(
        {.job = 1, .epoch = 2, .worker = 0, .workers = 2, .slots = slots, .values = kValues},
        {.silence = 1'000'000'000});
    Time now = 1;
    worker.start({input.data(), output.data(), count, type, 77}, now);
    std::vector<std::uint8_t> place(packet_size(kValues));
    std::vector<std::uint8_t> datagram(place);  // the last that was sent
    Header sent;
    std::span<const std::uint8_t> payload;
    for (int steps = 0; !script.empty() && steps < 1000; ++steps) {
        const std::uint8_t what = script.byte();
        const std::size_t polled = worker.poll(now, place);
        if (polled > 0) {
            datagram.assign(place.data(), place.data() + polled);
            require(decode(datagram, sent, payload) == DecodeStatus::kOk);
            require(sent.job == 1 && sent.epoch == 2 && sent.slot < slots);
        }
        if (what % 4 == 0) {
            now += Time{1} << (what / 4 % 34);
        } else if (what % 4 == 1) {
            worker.handle(now, script.take(1 + what));
        } else {  // the answer to what was sent last, with something else in a place or two
            std::vector<std::uint8_t> answer(datagram);
            answer[1] = what % 4 == 2 ? 2 : 4;
            answer[script.byte() % answer.size()] = script.byte();
            answer[13] = script.byte();
            if (answer[1] == 4) answer.resize(kHeaderSize);
            worker.handle(now, answer);
        }
        std::size_t missing = 0;
        for (const std::uint16_t came : worker.contributors()) missing += came == 0 ? 1 : 0;
        const bool full =
            worker.state() == Worker::State::kComplete || worker.state() == Worker::State::kDone;
        require(!full || missing == 0);
        require(worker.state() != Worker::State::kWorking || missing > 0);
    }
    return 0;
}
