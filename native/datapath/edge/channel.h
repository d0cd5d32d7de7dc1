// The user's handle of an edge. It may be destroyed at any time; the edge then ends by itself.
#pragma once

#include <memory>

#include "datapath/edge/message_edge.h"

namespace weft::datapath {

class EdgeChannel final : public Channel {
  public:
    // `keeps` lives at least as long as the edge must.
    EdgeChannel(std::shared_ptr<void> keeps, MessageEdge& edge)
        : keeps_(std::move(keeps)), edge_(edge) {
        edge.attach(*this);
    }
    ~EdgeChannel() override { edge_.channel_gone(); }
    PeerId peer() const noexcept override { return edge_.peer(); }
    State state() const noexcept override { return edge_.state(); }
    std::string_view datapath() const noexcept override { return edge_.name(); }
    const ErrorPtr& error() const noexcept override { return edge_.error(); }
    std::uint16_t paths() const noexcept override { return edge_.paths(); }
    void send(Transfer& transfer) override { edge_.send(transfer); }
    void recv(Transfer& transfer) override { edge_.recv(transfer); }
    void cancel(Transfer& transfer) override { edge_.cancel(transfer); }
    void forget_group(std::uint64_t group) override { edge_.forget_group(group); }
    void watch(bool on) override { edge_.watch(on); }
    void close() override { edge_.close(); }
    void set_policies(const transport::PolicyChange& change) override {
        edge_.set_policies(change);
    }
    void deny_path(std::uint16_t path, bool denied) override { edge_.deny_path(path, denied); }
    std::string stats_json() const override { return edge_.stats_json(); }

  private:
    std::shared_ptr<void> keeps_;
    MessageEdge& edge_;
};

}  // namespace weft::datapath
