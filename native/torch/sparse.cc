// all_reduce of sparse COO tensors: ranks gather each other's entries and add them up, each in the
// same order.
#include "torch/backend.h"
#include "torch/dtype.h"

namespace weft::torch_backend {
namespace {

Stage gather_entries(const at::Tensor& mine, const at::Tensor& all, std::vector<size_t> entries,
                     size_t per_entry) {
    const Elements elements = moved_as(mine.scalar_type());
    for (size_t& count : entries) {
        count *= per_entry * elements.per_element;
    }
    Stage stage;
    const at::Tensor from = stage.in(mine);
    stage.issue = [=, counts = std::move(entries)](weft_comm* comm, const weft_op_options* options,
                                                   weft_request** request) {
        return weft_all_gatherv(comm, from.const_data_ptr(), all.data_ptr(), counts.data(),
                                elements.dtype, options, request);
    };
    return stage;
}

}  // namespace

// The numbers of entries are gathered first, and this call waits for them: only then the rest can
// be asked for, and every rank must issue its collectives in the same order.
Backend::WorkPtr Backend::allreduce_sparse(Tensors& tensors,
                                           const c10d::AllreduceOptions& options) {
    TORCH_CHECK_VALUE(tensors.size() == 1 && tensors[0].is_sparse(),
                      "weft: sparse all_reduce takes a list of exactly one sparse COO tensor");
    TORCH_CHECK_NOT_IMPLEMENTED(tensors[0].is_cpu(),
                                "weft: sparse all_reduce takes tensors in host memory, not on ",
                                tensors[0].device());
    TORCH_CHECK_NOT_IMPLEMENTED(options.reduceOp.op_ == c10d::ReduceOp::SUM,
                                "weft: sparse all_reduce knows the sum only");
    const at::Tensor input = tensors[0].coalesce();
    const at::Tensor values = input.values().contiguous();
    const at::Tensor indices = input.indices().t().contiguous();  // [entries, sparse dimensions]

    at::Tensor mine = at::full({1}, input._nnz(), at::kLong);
    at::Tensor entries = at::empty({size_}, at::kLong);
    c10d::AllgatherOptions gather_options;
    gather_options.timeout = options.timeout;
    gather_options.asyncOp = false;
    _allgather_base(entries, mine, gather_options)->wait();

    std::vector<size_t> counts;
    for (int rank = 0; rank < size_; ++rank) {
        counts.push_back(static_cast<size_t>(entries.const_data_ptr<int64_t>()[rank]));
    }
    const int64_t total = entries.sum().item<int64_t>();
    std::vector<int64_t> values_shape = values.sizes().vec();
    values_shape[0] = total;
    const at::Tensor all_values = at::empty(values_shape, values.options());
    const at::Tensor all_indices = at::empty({total, indices.size(1)}, indices.options());
    size_t per_entry = 1;
    for (size_t dimension = 1; dimension < values_shape.size(); ++dimension) {
        per_entry *= static_cast<size_t>(values_shape[dimension]);
    }

    Call call{"sparse_all_reduce", c10d::OpType::_ALLREDUCE_SPARSE};
    call.timeout = options.timeout;
    call.async = options.asyncOp;
    call.inputs = tensors;
    call.results = tensors;
    call.stages.push_back(
        gather_entries(indices, all_indices, counts, static_cast<size_t>(indices.size(1))));
    call.stages.push_back(gather_entries(values, all_values, counts, per_entry));
    call.conclude = [output = tensors[0], all_indices, all_values] {
        const at::NoGradGuard no_grad;
        output.copy_(at::sparse_coo_tensor(all_indices.t(), all_values, output.sizes()).coalesce());
    };
    return submit(std::move(call));
}

}  // namespace weft::torch_backend
