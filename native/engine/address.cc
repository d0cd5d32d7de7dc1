#include "engine/address.h"

namespace weft::engine {
namespace {

constexpr std::string_view kMagic = "WEFT";
constexpr char kVersion = 1;

void put(std::string& out, std::uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) {
        out.push_back(static_cast<char>(value >> (8 * i)));
    }
}

class Reader {
  public:
    explicit Reader(std::string_view blob) : rest_(blob) {}
    std::string_view take(std::size_t length) {
        if (length > rest_.size()) {
            throw Error(WEFT_ERR_INVALID,
                        "this is not the address of a Weft process: it ends too early (was it cut "
                        "on its way?)");
        }
        const std::string_view taken = rest_.substr(0, length);
        rest_.remove_prefix(length);
        return taken;
    }
    std::uint64_t number(int bytes) {
        const std::string_view taken = take(static_cast<std::size_t>(bytes));
        std::uint64_t value = 0;
        for (int i = bytes; i-- > 0;) {
            value = value << 8 | static_cast<unsigned char>(taken[static_cast<std::size_t>(i)]);
        }
        return value;
    }
    bool at_end() const { return rest_.empty(); }

  private:
    std::string_view rest_;
};

}  // namespace

std::string Address::encode() const {
    std::string out(kMagic);
    out.push_back(kVersion);
    put(out, peer, 8);
    put(out, entries.size(), 1);
    for (const Entry& entry : entries) {
        put(out, entry.datapath.size(), 1);
        out += entry.datapath;
        put(out, entry.address.size(), 2);
        out += entry.address;
    }
    return out;
}

Address Address::decode(std::string_view blob) {
    Reader reader(blob);
    if (blob.substr(0, kMagic.size()) != kMagic) {
        throw Error(WEFT_ERR_INVALID,
                    "this is not the address of a Weft process: it does not begin with \"WEFT\"");
    }
    reader.take(kMagic.size());
    if (const auto version = reader.number(1); version != static_cast<std::uint64_t>(kVersion)) {
        throw Error(WEFT_ERR_INVALID,
                    "the peer's address has format version " + std::to_string(version) +
                        ", this library reads version " + std::to_string(int{kVersion}) +
                        ": install the same Weft everywhere");
    }
    Address address;
    address.peer = reader.number(8);
    const auto count = reader.number(1);
    for (std::uint64_t i = 0; i < count; ++i) {
        Entry entry;
        entry.datapath = reader.take(reader.number(1));
        entry.address = reader.take(reader.number(2));
        address.entries.push_back(std::move(entry));
    }
    if (address.peer == 0 || !reader.at_end()) {
        throw Error(WEFT_ERR_INVALID,
                    "this is not the address of a Weft process: its peer id is zero or bytes "
                    "follow its end");
    }
    return address;
}

const std::string* Address::find(std::string_view datapath) const noexcept {
    for (const Entry& entry : entries) {
        if (entry.datapath == datapath) {
            return &entry.address;
        }
    }
    return nullptr;
}

}  // namespace weft::engine
