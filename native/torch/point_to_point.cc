// Sends, receives, and the barrier that tells who did not come.
#include <chrono>
#include <string>

#include "torch/backend.h"
#include "torch/dtype.h"

namespace weft::torch_backend {
namespace {

// Users' tags are torch's non-negative ints; the upper half of the C API's tags is this file's own.
constexpr uint32_t kCameTag = 0x8000'0000;
constexpr uint32_t kReleaseTag = 0x8000'0001;

uint32_t user_tag(int tag) {
    TORCH_CHECK_VALUE(tag >= 0, "weft: tag ", tag, " is negative");
    return static_cast<uint32_t>(tag);
}

const at::Tensor& message(const char* name, const std::vector<at::Tensor>& tensors) {
    TORCH_CHECK_VALUE(tensors.size() == 1, "weft: ", name,
                      " takes a list of exactly one tensor, not ", tensors.size());
    TORCH_CHECK_VALUE(tensors[0].layout() == at::kStrided, "weft: ", name,
                      " takes a dense tensor, not ", tensors[0].layout());
    return tensors[0];
}

Call begin(const char* name, c10d::OpType type, const at::Tensor& tensor) {
    Call call{name, type};
    call.inputs = {tensor};
    call.results = {tensor};
    call.device = tensor.device();
    return call;
}

Stage send_stage(const at::Tensor& tensor, int to, uint32_t tag) {
    Stage stage;
    const at::Tensor buffer = stage.in(tensor);
    stage.issue = [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
        return weft_comm_send(comm, buffer.const_data_ptr(), buffer.nbytes(), to, tag, options,
                              request);
    };
    return stage;
}

Stage recv_stage(const at::Tensor& tensor, int from, uint32_t tag) {
    Stage stage;
    const at::Tensor buffer = stage.out(tensor);
    stage.issue = [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
        return weft_comm_recv(comm, buffer.data_ptr(), buffer.nbytes(), from, tag, options,
                              request);
    };
    return stage;
}

std::string join(const std::vector<int>& ranks) {
    std::string text;
    for (const int rank : ranks) {
        text += (text.empty() ? "" : ", ") + std::to_string(rank);
    }
    return text;
}

}  // namespace

Backend::WorkPtr Backend::send(Tensors& tensors, int to, int tag) {
    const at::Tensor& tensor = message("send", tensors);
    Call call = begin("send", c10d::OpType::SEND, tensor);
    call.stages.push_back(send_stage(tensor, to, user_tag(tag)));
    return issue(std::move(call), false);
}

Backend::WorkPtr Backend::recv(Tensors& tensors, int from, int tag) {
    const at::Tensor& tensor = message("recv", tensors);
    Call call = begin("recv", c10d::OpType::RECV, tensor);
    call.stages.push_back(recv_stage(tensor, from, user_tag(tag)));
    return issue(std::move(call), false);
}

Backend::WorkPtr Backend::recvAnysource(Tensors& tensors, int tag) {
    const at::Tensor& tensor = message("recv", tensors);
    Call call = begin("recvAnySource", c10d::OpType::RECVANYSOURCE, tensor);
    call.stages.push_back(recv_stage(tensor, WEFT_ANY_SOURCE, user_tag(tag)));
    return issue(std::move(call), false);
}

// Every rank reports to rank 0, which releases them once all have come: so rank 0 can tell who is
// missing, and nobody leaves a barrier that another did not reach. The wording of the errors is the
// one that torch's own tests expect.
void Backend::monitoredBarrier(const c10d::BarrierOptions& options, bool wait_all_ranks) {
    const auto timeout =
        options.timeout == c10d::kUnsetTimeout ? options_->timeout : options.timeout;
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    const auto exchange = [&](const char* name, Stage stage) {
        Call call{name, c10d::OpType::BARRIER};
        call.async = false;
        call.timeout = std::max(std::chrono::milliseconds(1),
                                std::chrono::duration_cast<std::chrono::milliseconds>(
                                    deadline - std::chrono::steady_clock::now()));
        call.stages.push_back(std::move(stage));
        issue(std::move(call), false)->wait();
    };
    const at::Tensor token = at::zeros({1}, at::kByte);
    if (rank_ != 0) {
        try {
            exchange("monitored_barrier", send_stage(token, 0, kCameTag));
            exchange("monitored_barrier", recv_stage(token, 0, kReleaseTag));
        } catch (const c10::Error& error) {
            TORCH_CHECK_WITH(
                DistBackendError, false, "Rank ", rank_,
                " successfully reached monitoredBarrier, but received errors while waiting for "
                "send/recv "
                "from rank 0. Please check rank 0 logs for the rank that did not come. ",
                error.what_without_backtrace());
        }
        return;
    }
    std::vector<int> missing;
    for (int rank = 1; rank < size_; ++rank) {
        TORCH_CHECK_WITH(DistBackendError,
                         wait_all_ranks || std::chrono::steady_clock::now() < deadline, "Rank ",
                         rank_, " timed out in monitoredBarrier after ", timeout.count(),
                         " ms, before rank ", rank, " came");
        try {
            exchange("monitored_barrier", recv_stage(token, rank, kCameTag));
        } catch (const c10::Error& error) {
            TORCH_CHECK_WITH(DistBackendError, wait_all_ranks, "Rank ", rank,
                             " failed to pass monitoredBarrier in ", timeout.count(), " ms. ",
                             error.what_without_backtrace());
            missing.push_back(rank);
        }
    }
    TORCH_CHECK_WITH(DistBackendError, missing.empty(), missing.size() > 1 ? "Ranks " : "Rank ",
                     join(missing), " failed to pass monitoredBarrier in ", timeout.count(), " ms");
    for (int rank = 1; rank < size_; ++rank) {
        exchange("monitored_barrier", send_stage(token, rank, kReleaseTag));
    }
}

}  // namespace weft::torch_backend
