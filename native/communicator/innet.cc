#include "communicator/innet.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "communicator/communicator.h"
#include "communicator/innet_reports.h"
#include "communicator/innet_word.h"
#include "communicator/signature.h"

namespace weft::communicator {
namespace {

using datapath::Transfer;
using innet::Worker;

constexpr int kRoundsPerPoll = 4;  // batches, before others get their turn

innet::Type type_of(weft_dtype dtype) noexcept {
    switch (dtype) {
        case WEFT_F32:
            return innet::Type::kFloat32;
        case WEFT_BF16:
            return innet::Type::kBfloat16;
        default:
            return innet::Type::kInt32;
    }
}

innet::Membership membership(const Communicator& group, const InnetGrant& grant) {
    return {.job = grant.job,
            .epoch = grant.epoch,
            .worker = static_cast<std::uint8_t>(group.rank()),
            .workers = static_cast<std::uint16_t>(group.size()),
            .slots = grant.slots,
            .values = grant.values};
}

}  // namespace

// A report of a call that is over here, taken off the channel.
struct Aggregation::Drain final : datapath::TransferObserver {
    void transfer_done(Transfer&) noexcept override { ended = true; }
    std::int32_t from = 0;
    std::vector<std::byte> bytes;
    Transfer transfer;
    bool ended = false;
};

// ---------------------------------------------------------------- one run

InnetRun::InnetRun(std::shared_ptr<Communicator> group, engine::Time deadline,
                   std::shared_ptr<const collectives::Plan> plan, Arguments arguments,
                   std::uint32_t sequence, std::uint64_t signature, std::int32_t priority,
                   Aggregation& aggregation)
    : ScheduleRun(std::move(group), deadline, std::move(plan), std::move(arguments), sequence,
                  signature, priority),
      aggregation_(aggregation) {}

InnetRun::~InnetRun() = default;

void InnetRun::start(engine::Engine&) {
    enter();
    if (!finished()) {
        watch_all(true);
        aggregation_.enqueue(*this);
    }
}

void InnetRun::fail(const ErrorPtr& error) {
    if (phase_ == Phase::kSchedule) {
        ScheduleRun::fail(error);
        return;
    }
    reports_.reset();
    word_.reset();
    aggregation_.withdraw(*this);
    watch_all(false);
    leave(error);
}

void InnetRun::watch_all(bool on) noexcept {
    for (std::int32_t rank = 0; rank < group().size(); ++rank) {
        if (rank != group().rank()) {
            group().peer(rank).channel().watch(on);
        }
    }
}

std::vector<std::int32_t> InnetRun::waiting_for() const {
    if (phase_ == Phase::kSchedule) {
        return ScheduleRun::waiting_for();
    }
    if (phase_ == Phase::kReports) {
        return reports_->missing();
    }
    if (phase_ == Phase::kWord) {
        return {0};
    }
    std::vector<std::int32_t> ranks;
    for (std::uint32_t late = aggregation_.worker_.late(); late != 0; late &= late - 1) {
        const int rank = std::countr_zero(late);
        if (rank < group().size() && rank != group().rank()) {
            ranks.push_back(rank);
        }
    }
    return ranks;
}

innet::Call InnetRun::call() {
    const Arguments& a = arguments();
    // The sequence tells calls apart that look alike.
    return {.input = a.input,
            .output = a.output,
            .count = a.count,
            .type = type_of(a.dtype),
            .signature = signature() ^ std::uint64_t{sequence()} * 0x9e3779b97f4a7c15U};
}

void InnetRun::finish_by_switch() {
    finish_sums();
    watch_all(false);
    leave(nullptr);
}

void InnetRun::finish_by_schedule() {
    phase_ = Phase::kSchedule;
    watch_all(false);
    run();
}

// ---------------------------------------------------------------- the queue

Aggregation::Aggregation(Communicator& group, InnetController controller,
                         std::vector<InnetPlace> members, InnetSocket socket)
    : group_(group),
      admission_(std::move(controller), std::move(members), group.innet_pause()),
      socket_(std::move(socket)),
      worker_({}, {}) {}

Aggregation::~Aggregation() {
    group_.context().engine().remove_poller(*this, socket_.get());
    for (auto& drain : drains_) {
        if (!drain->ended) {
            group_.peer(drain->from).channel().cancel(drain->transfer);
        }
    }
}

void Aggregation::admit(const InnetGrant& grant, std::uint32_t from) {
    const engine::Time now = engine::clock_now();
    admission_.heard(grant, now);
    if (grant.granted == 0) {
        return;
    }
    grant_ = grant;
    worker_ = Worker(membership(group_, grant), {.silence = group_.innet_silence()});
    buffer_.resize(kBatch * innet::packet_size(grant.values));
    unsent_first_ = unsent_end_ = 0;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(grant.port);
    address.sin_addr.s_addr = htonl(grant.ip);
    // Nobody else's datagrams come in from now on. What fails here shows as a silent switch.
    static_cast<void>(
        connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address));
    off_ = false;
    from_ = from;
    ++counts_.admissions;
}

bool Aggregation::suits(const Arguments& a) noexcept {
    return a.collective == Collective::kAllReduce && a.count > 0 &&
           (a.op == WEFT_SUM || a.op == WEFT_AVG) &&
           (a.dtype == WEFT_F32 || a.dtype == WEFT_BF16 || a.dtype == WEFT_I32);
}

void Aggregation::enqueue(InnetRun& run) {
    queue_.push_back(&run);
    if (queue_.size() == 1) {
        next();
    }
}

void Aggregation::withdraw(InnetRun& run) {
    if (!queue_.empty() && queue_.front() == &run) {
        worker_.freeze();
    }
    std::erase(queue_, &run);
    if (queue_.empty()) {
        group_.context().engine().remove_poller(*this, socket_.get());
    }
}

// Sets the first of the queue going; those that do without the switch leave at once.
void Aggregation::next() {
    group_.context().engine().remove_poller(*this, socket_.get());
    while (!queue_.empty()) {
        InnetRun& run = *queue_.front();
        if (off_ && run.phase_ == InnetRun::Phase::kSwitch && admission_.word_is_due() &&
            !hear_word(run)) {
            return;
        }
        if (!off_) {
            begin(run);
            return;
        }
        queue_.pop_front();
        done_ = run.sequence() + 1;
        ++counts_.without;
        run.finish_by_schedule();
    }
}

// Rank 0 says it, and goes on at once; the others wait for it: false.
bool Aggregation::hear_word(InnetRun& run) {
    run.phase_ = InnetRun::Phase::kWord;
    if (group_.rank() != 0) {
        run.word_ = std::make_unique<InnetRun::Word>(run);
        run.word_->post();
        return false;
    }
    const InnetGrant word = admission_.word(engine::clock_now());
    const std::string bytes(reinterpret_cast<const char*>(&word), sizeof word);
    for (std::int32_t rank = 1; rank < group_.size(); ++rank) {
        group_.context().mesh().send_detached(group_.peer(rank), InnetRun::Word::tag(run),
                                              run.signature(), bytes);
    }
    admit(word, run.sequence());
    return true;
}

void Aggregation::heard_word(InnetRun& run, const InnetGrant& word) {
    run.word_.reset();
    admit(word, run.sequence());
    next();
}

void Aggregation::begin(InnetRun& run) {
    run.phase_ = InnetRun::Phase::kSwitch;
    group_.context().engine().add_poller(*this, socket_.get());
    if (is_suspect(run.sequence())) {
        begin_reports(run);
    } else {
        worker_.start(run.call(), engine::clock_now());
        poll();
    }
}

// ---------------------------------------------------------------- datagrams

bool Aggregation::poll() {
    if (queue_.empty() || queue_.front()->phase_ != InnetRun::Phase::kSwitch || polling_) {
        return false;
    }
    polling_ = true;
    const engine::Time now = engine::clock_now();
    bool moved = false;
    for (int round = 0; round < kRoundsPerPoll; ++round) {
        const bool received = receive(now);
        const bool sent = transmit(now);
        moved |= received || sent;
        if (!received && !sent) {
            break;
        }
    }
    polling_ = false;
    look();
    return moved;
}

engine::Time Aggregation::next_wakeup() const noexcept {
    if (queue_.empty()) {
        return engine::kNever;
    }
    return unsent_first_ < unsent_end_ ? engine::clock_now() + engine::kMillisecond
                                       : worker_.next_timeout();
}

bool Aggregation::receive(engine::Time now) {
    const std::size_t size = innet::packet_size(grant_.values);
    std::array<std::uint8_t, kBatch*(innet::packet_size(innet::kMaxValues) + 4)> bytes;
    std::array<iovec, kBatch> pieces{};
    std::array<mmsghdr, kBatch> messages{};
    for (std::size_t i = 0; i < kBatch; ++i) {
        pieces[i] = {.iov_base = bytes.data() + i * (size + 4), .iov_len = size + 4};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = recvmmsg(socket_.get(), messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < count; ++i) {
        const auto index = static_cast<std::size_t>(i);
        worker_.handle(now, {static_cast<const std::uint8_t*>(pieces[index].iov_base),
                             messages[index].msg_len});
    }
    return count > 0;
}

bool Aggregation::transmit(engine::Time now) {
    const std::size_t size = innet::packet_size(grant_.values);
    if (unsent_first_ == unsent_end_) {
        unsent_first_ = unsent_end_ = 0;
        while (unsent_end_ < kBatch) {
            const auto place = std::span(buffer_).subspan(unsent_end_ * size, size);
            sizes_[unsent_end_] = worker_.poll(now, place);
            if (sizes_[unsent_end_] == 0) {
                break;
            }
            ++unsent_end_;
        }
    }
    std::array<iovec, kBatch> pieces{};
    std::array<mmsghdr, kBatch> messages{};
    const std::size_t count = unsent_end_ - unsent_first_;
    for (std::size_t i = 0; i < count; ++i) {
        pieces[i] = {.iov_base = buffer_.data() + (unsent_first_ + i) * size,
                     .iov_len = sizes_[unsent_first_ + i]};
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    if (count == 0) {
        return false;
    }
    const int sent = sendmmsg(socket_.get(), messages.data(), static_cast<unsigned>(count),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0) {
        unsent_first_ += static_cast<std::size_t>(sent);
    } else if (errno != EAGAIN && errno != EINTR) {
        ++unsent_first_;  // lost, like any other datagram
    }
    return sent > 0;
}

// What has become of the call under way?
void Aggregation::look() {
    InnetRun& run = *queue_.front();
    switch (worker_.state()) {
        case Worker::State::kDone:
            done_ = run.sequence() + 1;
            ++counts_.by_switch;
            queue_.pop_front();
            run.finish_by_switch();
            next();
            break;
        case Worker::State::kSilent:
            begin_reports(run);
            break;
        case Worker::State::kMismatch:
            group_.fail(
                make_error(WEFT_ERR_MISMATCH,
                           "the ranks of group \"" + group_.name() + "\" do not agree: rank " +
                               std::to_string(group_.rank()) + " called " + run.describe() +
                               ", another rank called something else"),
                true);
            break;
        default:
            break;
    }
}

// ---------------------------------------------------------------- without the switch

void Aggregation::report_unmatched(std::int32_t from, const datapath::Tag& tag,
                                   std::uint64_t signature, std::size_t size) {
    const auto sequence = static_cast<std::uint32_t>(tag.message >> 40);
    // Relative to the first call that is not done here; sequences have 23 bits in messages.
    const auto ahead = static_cast<std::int32_t>((sequence - done_) << 9) >> 9;
    const std::uint32_t call = done_ + static_cast<std::uint32_t>(ahead);
    if (ahead < 0) {
        answer_done(from, tag, signature, size);
    }  // else its bytes are taken by the receive that begin_reports posts
    // What is late of an earlier grant says nothing of this one.
    const bool news = ahead >= 0 || (!off_ && static_cast<std::int32_t>(call - from_) >= 0);
    const std::uint32_t begins = ahead >= 0 ? call : call + 1;
    if (news && !is_suspect(begins)) {
        suspect_ = true;
        suspect_from_ = begins;
    }
    InnetRun* front = queue_.empty() ? nullptr : queue_.front();
    if (!off_ && front != nullptr && front->phase_ == InnetRun::Phase::kSwitch &&
        is_suspect(front->sequence())) {
        begin_reports(*front);
    }
}

// Who gave up on a call that is done here hears that it is.
void Aggregation::answer_done(std::int32_t from, const datapath::Tag& tag, std::uint64_t signature,
                              std::size_t size) {
    std::string answer(size, '\0');
    Report{.state = Report::kDone}.write(answer);
    group_.context().mesh().send_detached(group_.peer(from), tag, signature, std::move(answer));
    std::erase_if(drains_, [](const auto& drain) { return drain->ended; });
    drains_.push_back(std::make_unique<Drain>());
    Drain& drain = *drains_.back();
    drain.from = from;
    drain.bytes.resize(size);
    drain.transfer.tag = tag;
    drain.transfer.signature = signature;
    drain.transfer.data = drain.bytes.data();
    drain.transfer.size = size;
    drain.transfer.observer = &drain;
    group_.peer(from).channel().recv(drain.transfer);
}

void Aggregation::begin_reports(InnetRun& run) {
    const bool begun = worker_.state() != Worker::State::kIdle &&
                       worker_.state() != Worker::State::kFrozen &&
                       worker_.state() != Worker::State::kDone;
    const bool complete = worker_.state() == Worker::State::kComplete;
    const std::size_t chunks = (run.arguments().count + grant_.values - 1) / grant_.values;
    std::vector<std::uint16_t> have(chunks, 0);
    if (begun) {
        have = worker_.contributors();
    }
    const bool all = complete || std::ranges::find(have, 0) == have.end();
    worker_.freeze();
    unsent_first_ = unsent_end_ = 0;
    run.phase_ = InnetRun::Phase::kReports;
    run.reports_ = std::make_unique<InnetRun::Reports>(
        run, Report{.state = all ? Report::kComplete : Report::kPartial}, have);
    run.reports_->post();
}

void Aggregation::conclude(InnetRun& run) {
    const bool stands = run.reports_->sums_stand();
    done_ = run.sequence() + 1;
    if (stands) {
        suspect_ = true;
        suspect_from_ = done_;
    } else {
        suspect_ = suspect_ && !is_suspect(run.sequence());  // of a later grant
        mend_output(run);
        off_ = true;
        admission_.begin("given up: the switch fell silent in mid-operation", engine::clock_now());
    }
    ++(stands ? counts_.by_switch : counts_.finished);
    run.reports_.reset();
    queue_.pop_front();
    if (stands) {
        run.finish_by_switch();
    } else {
        run.finish_by_schedule();
    }
    next();
}

// Leaves in the output what this rank contributes to the all-reduce that finishes the call in
// place.
void Aggregation::mend_output(InnetRun& run) {
    Arguments& a = run.arguments();
    const std::vector<std::int32_t> owners = run.reports_->owners();
    const std::size_t element = weft_dtype_size(a.dtype);
    for (std::size_t chunk = 0; chunk < owners.size(); ++chunk) {
        const std::size_t first = chunk * grant_.values;
        const std::size_t bytes = std::min<std::size_t>(grant_.values, a.count - first) * element;
        std::byte* out = a.output + first * element;
        if (owners[chunk] == WEFT_NO_RANK) {
            std::memmove(out, a.input + first * element, bytes);
        } else if (owners[chunk] != group_.rank()) {
            std::memset(out, 0, bytes);
        }
    }
    a.input = a.output;
}

}  // namespace weft::communicator
