// A capture file that Wireshark reads: pcap with nanoseconds (draft-ietf-opsawg-pcap).
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include "emulator/frame.h"

namespace weft::emulator {

class Capture {
  public:
    // Overwrites the file. `snap`: bytes kept of each frame. Throws std::system_error.
    Capture(const std::string& path, std::uint32_t snap);

    void write(ConstBytes frame, std::int64_t realtime_ns);
    void flush() { std::fflush(file_.get()); }

  private:
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::unique_ptr<std::FILE, Close> file_;
    std::uint32_t snap_;
};

}  // namespace weft::emulator
