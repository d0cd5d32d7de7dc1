#include "torch/rendezvous.h"

#include <cstdlib>

#include "torch/errors.h"

namespace weft::torch_backend {
namespace {

// What a rank publishes: one byte that says whether it is well, then (u16 length, bytes) fields.
constexpr uint8_t kWell = 1;
constexpr uint8_t kFailed = 0;

void put(std::vector<uint8_t>& blob, const std::string& field) {
    TORCH_CHECK_VALUE(field.size() <= UINT16_MAX, "weft: a secret or message of ", field.size(),
                      " bytes is too long");
    blob.push_back(static_cast<uint8_t>(field.size() & 0xff));
    blob.push_back(static_cast<uint8_t>(field.size() >> 8));
    blob.insert(blob.end(), field.begin(), field.end());
}

// Reads the fields of another rank's blob.
class Fields {
  public:
    Fields(const std::vector<uint8_t>& blob, int rank) : blob_(blob), rank_(rank) {
        need(1);
        if (blob_[0] != kWell) {
            TORCH_CHECK_WITH(DistBackendError, false, "weft: rank ", rank,
                             " could not start: ", next());
        }
    }

    std::string next() {
        need(2);
        const size_t length = blob_[at_] | static_cast<size_t>(blob_[at_ + 1]) << 8;
        at_ += 2;
        need(length);
        const auto* begin = reinterpret_cast<const char*>(blob_.data()) + at_;
        at_ += length;
        return {begin, length};
    }

  private:
    void need(size_t bytes) const {
        TORCH_CHECK_WITH(
            DistBackendError, at_ + bytes <= blob_.size(), "weft: what rank ", rank_,
            " wrote to the store is not a Weft address; do all ranks run the same version?");
    }

    const std::vector<uint8_t>& blob_;
    int rank_;
    size_t at_ = 1;
};

class Bulletin {
  public:
    // Each round of arrivals has keys of its own, so that a store can serve again after
    // destroy_process_group.
    Bulletin(c10d::Store& store, int rank, int size, const GroupOptions& options)
        : store_(store), rank_(rank), size_(size), options_(options) {
        const int64_t arrival = store_.add("weft/arrivals", 1);
        prefix_ = "weft/" + std::to_string((arrival - 1) / size_) + "/";
    }

    void publish(const std::vector<uint8_t>& blob) { store_.set(key(rank_), blob); }

    void publish_failure(const std::string& message) {
        std::vector<uint8_t> blob{kFailed};
        put(blob, message.substr(0, 1000));
        publish(blob);
    }

    std::vector<uint8_t> read(int rank) {
        await({key(rank)});
        return store_.get(key(rank));
    }

    std::vector<std::vector<uint8_t>> read_all() {
        std::vector<std::string> keys;
        for (int rank = 0; rank < size_; ++rank) {
            keys.push_back(key(rank));
        }
        await(keys);
        std::vector<std::vector<uint8_t>> blobs;
        for (const std::string& each : keys) {
            blobs.push_back(store_.get(each));
        }
        return blobs;
    }

  private:
    std::string key(int rank) const { return prefix_ + std::to_string(rank); }

    void await(const std::vector<std::string>& keys) {
        try {
            store_.wait(keys, options_.timeout);
        } catch (const std::exception& error) {
            std::string missing;
            for (int rank = 0; rank < size_; ++rank) {
                if (rank != rank_ && !store_.check({key(rank)})) {
                    missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
                }
            }
            TORCH_CHECK_WITH(DistBackendError, missing.empty(), "weft: creation of group \"",
                             options_.group_name, "\" (rank ", rank_, " of ", size_,
                             ") failed: within ", options_.timeout.count(),
                             " ms nothing came from rank(s) ", missing, " (WEFT_ERR_UNREACHABLE)");
            throw;
        }
    }

    c10d::Store& store_;
    int rank_;
    int size_;
    const GroupOptions& options_;
    std::string prefix_;
};

bool has_own_secret(const GroupOptions& options) {
    return !options.context.secret.empty() || std::getenv("WEFT_SECRET") != nullptr;
}

std::vector<uint8_t> introduce(const std::string& address, uint64_t group,
                               const std::string& secret) {
    std::vector<uint8_t> blob{kWell};
    put(blob, address);
    put(blob, std::to_string(group));
    put(blob, secret);
    return blob;
}

// Rank 0 decides on group number and secret; the others follow it.
std::shared_ptr<Context> enter(Bulletin& bulletin, int rank, const GroupOptions& options) {
    const bool own_secret = has_own_secret(options);
    if (rank == 0) {
        auto context = own_secret ? Context::open(options.context)
                                  : Context::open_with_drawn_secret(options.context);
        bulletin.publish(
            introduce(context->address(), draw_random(), own_secret ? "" : context->secret()));
        return context;
    }
    ContextSettings settings = options.context;
    const std::vector<uint8_t> first = bulletin.read(0);
    if (!own_secret) {
        Fields fields(first, 0);
        fields.next();
        fields.next();
        settings.secret = fields.next();
    }
    auto context = Context::open(settings);
    bulletin.publish(introduce(context->address(), 0, ""));
    return context;
}

}  // namespace

std::shared_ptr<Group> rendezvous(c10d::Store& store, int rank, int size,
                                  const GroupOptions& options) {
    Bulletin bulletin(store, rank, size, options);
    std::shared_ptr<Context> context;
    try {
        context = enter(bulletin, rank, options);
    } catch (const c10::Error& error) {
        bulletin.publish_failure(error.what_without_backtrace());
        throw;
    }
    Membership membership{options.group_name, 0, rank, {}};
    const std::vector<std::vector<uint8_t>> blobs = bulletin.read_all();
    for (int other = 0; other < size; ++other) {
        Fields fields(blobs[static_cast<size_t>(other)], other);
        membership.addresses.push_back(fields.next());
        if (other == 0) {
            membership.id = std::stoull(fields.next());
        }
    }
    return std::make_shared<Group>(std::move(context), std::move(membership), options.timeout,
                                   options.algorithms);
}

}  // namespace weft::torch_backend
