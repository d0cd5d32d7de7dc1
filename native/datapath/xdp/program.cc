#include "datapath/xdp/program.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <sys/syscall.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "datapath/error.h"
#include "datapath/xdp/patience.h"

namespace weft::datapath::xdp {
namespace {

// Register 6 keeps the context over calls, 7 the destination port and later the time.
enum Register : std::uint8_t { kR0, kR1, kR2, kR3, kR4, kR5, kR6, kR7 };

// Where things lie in an Ethernet frame.
constexpr std::int16_t kType = 12;
constexpr std::int16_t kIp = 14;

// Instructions with jumps to places that are not known yet.
class Assembler {
  public:
    using Label = std::size_t;

    Label label() {
        places_.push_back(0);
        return places_.size() - 1;
    }
    void place(Label label) { places_[label] = code_.size(); }

    void move(Register to, Register from) { put(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0); }
    void move(Register to, std::int32_t value) {
        put(BPF_ALU64 | BPF_MOV | BPF_K, to, 0, 0, value);
    }
    void add(Register to, std::int32_t value) { put(BPF_ALU64 | BPF_ADD | BPF_K, to, 0, 0, value); }
    void mask(Register to, std::int32_t value) {
        put(BPF_ALU64 | BPF_AND | BPF_K, to, 0, 0, value);
    }
    // `size` is BPF_B, BPF_H or BPF_W.
    void load(std::uint8_t size, Register to, Register base, std::int16_t offset) {
        put(static_cast<std::uint8_t>(BPF_LDX | BPF_MEM | size), to, base, offset, 0);
    }
    void store(Register base, std::int16_t offset, Register from) {
        put(BPF_STX | BPF_MEM | BPF_DW, base, from, offset, 0);
    }
    void load_map(Register to, int map) {
        put(BPF_LD | BPF_IMM | BPF_DW, to, BPF_PSEUDO_MAP_FD, 0, map);
        put(0, kR0, 0, 0, 0);
    }
    void call(std::int32_t function) { put(BPF_JMP | BPF_CALL, kR0, 0, 0, function); }
    void exit() { put(BPF_JMP | BPF_EXIT, kR0, 0, 0, 0); }

    void jump(Label to) { branch(BPF_JMP | BPF_JA, kR0, 0, 0, to); }
    // 32 bits are compared.
    void jump_equal(Register a, std::uint32_t value, Label to) {
        branch(BPF_JMP32 | BPF_JEQ | BPF_K, a, 0, std::bit_cast<std::int32_t>(value), to);
    }
    void jump_unequal(Register a, std::uint32_t value, Label to) {
        branch(BPF_JMP32 | BPF_JNE | BPF_K, a, 0, std::bit_cast<std::int32_t>(value), to);
    }
    void jump_greater(Register a, Register b, Label to) {
        branch(BPF_JMP | BPF_JGT | BPF_X, a, b, 0, to);
    }

    std::vector<bpf_insn> finish() {
        for (const auto& [at, label] : branches_) {
            code_[at].off = static_cast<std::int16_t>(places_[label] - at - 1);
        }
        return std::move(code_);
    }

  private:
    void put(int code, std::uint8_t to, std::uint8_t from, std::int16_t offset,
             std::int32_t value) {
        bpf_insn instruction{};
        instruction.code = static_cast<std::uint8_t>(code);
        instruction.dst_reg = to & 0xF;
        instruction.src_reg = from & 0xF;
        instruction.off = offset;
        instruction.imm = value;
        code_.push_back(instruction);
    }
    void branch(int code, std::uint8_t a, std::uint8_t b, std::int32_t value, Label to) {
        branches_.emplace_back(code_.size(), to);
        put(code, a, b, 0, value);
    }

    std::vector<bpf_insn> code_;
    std::vector<std::size_t> places_;
    std::vector<std::pair<std::size_t, Label>> branches_;
};

// Bytes of a packet as a load gives them.
template <typename Int>
Int as_loaded(const std::uint8_t* bytes) {
    Int value;
    std::memcpy(&value, bytes, sizeof value);
    return value;
}

std::uint16_t as_loaded(std::uint16_t value) {
    const std::uint8_t bytes[2] = {static_cast<std::uint8_t>(value >> 8),
                                   static_cast<std::uint8_t>(value)};
    return as_loaded<std::uint16_t>(bytes);
}

// Goes to `hit` when the frame at register 2 is for one of these addresses and (register 7) ports,
// else to `pass`.
void match(Assembler& code, std::span<const udp::LocalAddress> ours, int family, std::int16_t at,
           Assembler::Label hit, Assembler::Label pass) {
    for (const udp::LocalAddress& address : ours) {
        if (address.address.family() != family) {
            continue;
        }
        const auto next = code.label();
        const auto ip = address.address.ip();
        for (std::size_t i = 0; i < ip.size(); i += 4) {
            code.load(BPF_W, kR5, kR2, static_cast<std::int16_t>(at + static_cast<int>(i)));
            code.jump_unequal(kR5, as_loaded<std::uint32_t>(&ip[i]), next);
        }
        for (const std::uint16_t port : address.ports) {
            code.jump_equal(kR7, as_loaded(port), hit);
        }
        code.place(next);
    }
    code.jump(pass);
}

// Leaves no frame that is shorter than `size`, from register 2 to register 3.
void require(Assembler& code, std::int32_t size, Assembler::Label otherwise) {
    code.move(kR4, kR2);
    code.add(kR4, size);
    code.jump_greater(kR4, kR3, otherwise);
}

int bpf(int command, bpf_attr& attributes) {
    return static_cast<int>(syscall(SYS_bpf, command, &attributes, sizeof attributes));
}

[[noreturn]] void fail(const std::string& device, const char* what, int error,
                       const char* capability) {
    std::string text = "xdp: device " + device + ": " + what + " failed: " + std::strerror(error);
    if (error == EPERM || error == EACCES) {
        throw Error(WEFT_ERR_UNSUPPORTED,
                    text + "; it needs " + capability +
                        " in the first user namespace: run as root, or setcap "
                        "cap_net_admin,cap_net_raw,cap_bpf+ep on the program");
    }
    if (error == ENOSYS) {
        throw Error(WEFT_ERR_UNSUPPORTED,
                    text + "; it needs Linux 5.9 or newer with CONFIG_BPF_SYSCALL");
    }
    throw Error(WEFT_ERR_SYSTEM, text);
}

}  // namespace

std::vector<bpf_insn> assemble(std::span<const udp::LocalAddress> ours, int map) {
    Assembler code;
    const auto ipv4 = code.label(), hit = code.label(), redirect = code.label(),
               pass = code.label();
    code.move(kR6, kR1);
    code.load(BPF_W, kR2, kR6, offsetof(xdp_md, data));
    code.load(BPF_W, kR3, kR6, offsetof(xdp_md, data_end));
    require(code, kIp + 20 + 8, pass);
    code.load(BPF_H, kR5, kR2, kType);
    code.jump_equal(kR5, as_loaded(std::uint16_t{0x0800}), ipv4);
    code.jump_unequal(kR5, as_loaded(std::uint16_t{0x86DD}), pass);

    require(code, kIp + 40 + 8, pass);
    code.load(BPF_B, kR5, kR2, kIp + 6);
    code.jump_unequal(kR5, IPPROTO_UDP, pass);
    code.load(BPF_H, kR7, kR2, kIp + 40 + 2);
    match(code, ours, AF_INET6, kIp + 24, hit, pass);

    code.place(ipv4);
    code.load(BPF_B, kR5, kR2, kIp);
    code.jump_unequal(kR5, 0x45, pass);  // IP options
    code.load(BPF_H, kR5, kR2, kIp + 6);
    code.mask(kR5, as_loaded(std::uint16_t{0x3FFF}));
    code.jump_unequal(kR5, 0, pass);  // a fragment
    code.load(BPF_B, kR5, kR2, kIp + 9);
    code.jump_unequal(kR5, IPPROTO_UDP, pass);
    code.load(BPF_H, kR7, kR2, kIp + 20 + 2);
    match(code, ours, AF_INET, kIp + 16, hit, pass);

    code.place(hit);
    code.call(BPF_FUNC_ktime_get_ns);
    code.move(kR7, kR0);
    code.move(kR1, kR6);
    code.move(kR2, -static_cast<std::int32_t>(kStampSize));
    code.call(BPF_FUNC_xdp_adjust_meta);
    code.jump_unequal(kR0, 0, redirect);  // a driver without room there
    code.load(BPF_W, kR2, kR6, offsetof(xdp_md, data_meta));
    code.load(BPF_W, kR3, kR6, offsetof(xdp_md, data));
    require(code, kStampSize, redirect);
    code.store(kR2, 0, kR7);

    code.place(redirect);
    code.load_map(kR1, map);
    code.load(BPF_W, kR2, kR6, offsetof(xdp_md, rx_queue_index));
    code.move(kR3, XDP_PASS);  // for queues that are not in the map
    code.call(BPF_FUNC_redirect_map);
    code.exit();

    code.place(pass);
    code.move(kR0, XDP_PASS);
    code.exit();
    return code.finish();
}

Program::Program(const std::string& device, std::span<const udp::LocalAddress> ours,
                 std::uint32_t queues)
    : device_(device) {
    bpf_attr map{};
    map.map_type = BPF_MAP_TYPE_XSKMAP;
    map.key_size = map.value_size = sizeof(std::uint32_t);
    map.max_entries = queues;
    std::strncpy(map.map_name, "weft_queues", sizeof map.map_name - 1);
    map_ = Descriptor(bpf(BPF_MAP_CREATE, map));
    if (!map_) {
        fail(device, "making a BPF map", errno, "CAP_BPF and CAP_NET_ADMIN");
    }
    const std::vector<bpf_insn> code = assemble(ours, map_.get());
    // With it, frames of several buffers (jumbo frames) come through as well; Linux 5.18.
    for (const std::uint32_t flags : {std::uint32_t{BPF_F_XDP_HAS_FRAGS}, std::uint32_t{0}}) {
        bpf_attr program{};
        program.prog_type = BPF_PROG_TYPE_XDP;
        program.insns = reinterpret_cast<std::uintptr_t>(code.data());
        program.insn_cnt = static_cast<std::uint32_t>(code.size());
        program.license = reinterpret_cast<std::uintptr_t>("Apache-2.0");
        program.prog_flags = flags;
        program.expected_attach_type = BPF_XDP;
        std::strncpy(program.prog_name, "weft_steer", sizeof program.prog_name - 1);
        program_ = Descriptor(bpf(BPF_PROG_LOAD, program));
        if (program_) {
            return;
        }
    }
    fail(device, "loading a BPF program", errno, "CAP_BPF and CAP_NET_ADMIN");
}

bool Program::attach(std::uint32_t interface, bool native) {
    bpf_attr link{};
    link.link_create.prog_fd = static_cast<std::uint32_t>(program_.get());
    link.link_create.target_ifindex = interface;
    link.link_create.attach_type = BPF_XDP;
    link.link_create.flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
    int error = 0;
    patiently([&] {
        link_ = Descriptor(bpf(BPF_LINK_CREATE, link));
        error = errno;
        return bool(link_) || (error != EBUSY && error != EEXIST);
    });
    if (link_) {
        return true;
    }
    if (error == EBUSY || error == EEXIST) {
        throw Error(WEFT_ERR_RESOURCES,
                    "xdp: device " + device_ +
                        " already has an XDP program: another process uses it this way (see `ip "
                        "link`); give each process a device of its own with the `interfaces` "
                        "option, or take the udp datapath");
    }
    if (error == EPERM || error == EACCES || error == ENOSYS) {
        fail(device_, "attaching a BPF program", error, "CAP_NET_ADMIN");
    }
    return false;
}

void Program::steer(std::uint32_t queue, int socket) {
    bpf_attr entry{};
    entry.map_fd = static_cast<std::uint32_t>(map_.get());
    entry.key = reinterpret_cast<std::uintptr_t>(&queue);
    entry.value = reinterpret_cast<std::uintptr_t>(&socket);
    if (bpf(BPF_MAP_UPDATE_ELEM, entry) != 0) {
        fail(device_, "entering a socket into a BPF map", errno, "CAP_BPF");
    }
}

}  // namespace weft::datapath::xdp
