#include "emulator/capture.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

namespace weft::emulator {

Capture::Capture(const std::string& path, std::uint32_t snap)
    : file_(std::fopen(path.c_str(), "wbe")), snap_(snap) {
    if (file_ == nullptr)
        throw std::system_error(errno, std::generic_category(), "capture file " + path);
    constexpr std::uint32_t kNanoseconds = 0xA1B23C4D;
    constexpr std::uint32_t kVersion = 4U << 16 | 2;
    constexpr std::uint32_t kEthernet = 1;
    const std::array<std::uint32_t, 6> header{kNanoseconds, kVersion, 0, 0, snap, kEthernet};
    std::fwrite(header.data(), sizeof header, 1, file_.get());
    std::fflush(file_.get());
}

void Capture::write(ConstBytes frame, std::int64_t realtime_ns) {
    const auto length = static_cast<std::uint32_t>(frame.size());
    const std::uint32_t kept = std::min(length, snap_);
    const std::array<std::uint32_t, 4> header{
        static_cast<std::uint32_t>(realtime_ns / 1'000'000'000),
        static_cast<std::uint32_t>(realtime_ns % 1'000'000'000), kept, length};
    std::fwrite(header.data(), sizeof header, 1, file_.get());
    std::fwrite(frame.data(), kept, 1, file_.get());
}

}  // namespace weft::emulator
