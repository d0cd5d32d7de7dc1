#include "nccl/handle.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "datapath/shm/shm.h"
#include "datapath/udp/address.h"
#include "nccl/log.h"
#include "wire/siphash.h"

namespace weft::nccl {
namespace {

using datapath::ShmDatapath;

constexpr const char* kForeign = "this handle was not made by Weft's listen()";

std::string hash_of(const std::string& host) {
    constexpr std::array<std::uint8_t, 16> kKey{'w', 'e', 'f', 't', ' ', 'h', 'o', 's', 't'};
    const std::uint64_t hash =
        wire::siphash(kKey, {reinterpret_cast<const std::uint8_t*>(host.data()), host.size()});
    return {reinterpret_cast<const char*>(&hash), sizeof hash};
}

std::string fit_udp(const std::string& address, std::size_t room) {
    auto all = datapath::udp::decode_addresses(address);
    std::ranges::stable_partition(all, [](const auto& a) { return a.address.family() == AF_INET; });
    std::string packed = datapath::udp::encode_addresses(all);
    while (packed.size() > room && !all.empty()) {
        all.pop_back();
        packed = datapath::udp::encode_addresses(all);
    }
    if (all.empty()) {
        throw Error(WEFT_ERR_RESOURCES,
                    "no UDP address of this process fits into NCCL's handle: give it fewer sockets "
                    "(WEFT_TRANSPORT=sockets=2)");
    }
    return packed;
}

}  // namespace

Handle Handle::read(std::span<const std::byte, abi::kHandleBytes> bytes) {
    Handle handle;
    std::memcpy(&handle, bytes.data(), sizeof handle);
    need(handle.magic == kMagic && handle.length <= sizeof handle.address, kForeign);
    return handle;
}

void Handle::write(std::span<std::byte, abi::kHandleBytes> bytes) const {
    std::memcpy(bytes.data(), this, sizeof *this);
}

void Handle::pack(const engine::Address& listener) {
    std::string packed(reinterpret_cast<const char*>(&listener.peer), sizeof listener.peer);
    const auto add = [&](char kind, const std::string& bytes) {
        packed += kind;
        packed += static_cast<char>(bytes.size());
        packed += bytes;
    };
    if (const std::string* shm = listener.find("shm")) {
        const std::string host = ShmDatapath::host_of(*shm);
        add('s', hash_of(host) + shm->substr(host.size()));
    }
    if (const std::string* verbs = listener.find("verbs")) {
        if (packed.size() + 2 + verbs->size() <= sizeof address) {
            add('v', *verbs);
        } else if (listener.find("udp") == nullptr) {
            throw Error(
                WEFT_ERR_RESOURCES,
                "the RDMA ports of this process do not fit into NCCL's handle: name those to "
                "use (WEFT_TRANSPORT=verbs.devices=NAME)");
        }
    }
    if (const std::string* udp = listener.find("udp")) {
        add('u', fit_udp(*udp, sizeof address - packed.size() - 2));
    }
    need(packed.size() <= sizeof address, "the address is too long for NCCL's handle");
    length = static_cast<std::uint16_t>(packed.copy(address, sizeof address));
}

engine::Address Handle::unpack(const engine::Address& own) const {
    std::string_view left(address, length);
    const auto take = [&](std::size_t count) {
        need(left.size() >= count, kForeign);
        const std::string_view taken = left.substr(0, count);
        left.remove_prefix(count);
        return std::string(taken);
    };
    engine::Address listener;
    std::memcpy(&listener.peer, take(sizeof listener.peer).data(), sizeof listener.peer);
    while (!left.empty()) {
        const char kind = take(1)[0];
        const std::string bytes = take(static_cast<unsigned char>(take(1)[0]));
        if (kind == 'u' || kind == 'v') {
            listener.entries.push_back({kind == 'u' ? "udp" : "verbs", bytes});
        } else if (const std::string* shm = own.find("shm"); kind == 's' && shm != nullptr) {
            const std::string host = ShmDatapath::host_of(*shm);
            const std::string hash = hash_of(host);
            if (bytes.starts_with(hash)) {
                listener.entries.push_back({"shm", host + bytes.substr(hash.size())});
            }
        }
    }
    return listener;
}

}  // namespace weft::nccl
