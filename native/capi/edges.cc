// weft.h, chapters point to point without a group and one-sided.
#include <cstring>

#include "capi/guard.h"
#include "capi/handles.h"

using weft::Error;
using weft::capi::guarded;
using weft::capi::need;
using weft::engine::PeerMessage;
using weft::engine::Region;
using weft::engine::RemoteAccess;

namespace {

weft::engine::Time deadline_of(weft::engine::Context& context,
                               std::int64_t timeout = WEFT_TIMEOUT_DEFAULT) {
    return weft::engine::deadline_after(weft::engine::clock_now(),
                                        timeout < 0 ? context.options().timeout : timeout);
}

// Submits and hands out, or waits.
weft_status run(const std::shared_ptr<weft::engine::Context>& context,
                std::shared_ptr<weft::engine::Operation> operation, weft_request** request) {
    context->engine().submit(operation, false);
    weft::capi::deliver(context, std::move(operation), request);
    return WEFT_OK;
}

weft_status message(weft_peer* peer, PeerMessage::Direction direction, void* data, size_t length,
                    uint64_t tag, weft_request** request) {
    return guarded([&] {
        need(peer, "peer");
        if (length > 0) {
            need(data, "data");
        }
        return run(peer->context,
                   std::make_shared<PeerMessage>(*peer->context, peer->id, direction, data, length,
                                                 tag, deadline_of(*peer->context)),
                   request);
    });
}

weft_status access(weft_peer* peer, RemoteAccess::Kind kind, void* data, size_t length,
                   const uint8_t* descriptor, uint64_t offset, uint64_t notify,
                   weft_request** request) {
    return guarded([&] {
        need(peer, "peer");
        need(descriptor, "descriptor");
        if (length > 0) {
            need(data, "data");
        }
        Region::Descriptor region;
        std::memcpy(&region, descriptor, sizeof region);
        if (region.owner != peer->id) {
            throw Error(WEFT_ERR_INVALID, "this descriptor is of a region of another peer",
                        peer->id);
        }
        return run(
            peer->context,
            std::make_shared<RemoteAccess>(*peer->context, peer->id, kind, data, length, region,
                                           offset, notify, deadline_of(*peer->context)),
            request);
    });
}

}  // namespace

weft_status weft_connect(weft_context* context, const void* address, size_t length,
                         int64_t timeout_ns, weft_peer** peer) {
    return guarded([&] {
        need(context, "context");
        need(address, "address");
        need(peer, "peer");
        *peer = nullptr;
        auto decoded = weft::engine::Address::decode({static_cast<const char*>(address), length});
        const auto id = decoded.peer;
        if (id == context->context->mesh().self()) {
            throw Error(WEFT_ERR_INVALID, "this is the process's own address");
        }
        run(context->context,
            std::make_shared<weft::engine::Connect>(*context->context, std::move(decoded),
                                                    deadline_of(*context->context, timeout_ns)),
            nullptr);
        *peer = new weft_peer{context->context, id};
    });
}

weft_status weft_accept(weft_context* context, int64_t timeout_ns, weft_peer** peer) {
    return guarded([&] {
        need(context, "context");
        need(peer, "peer");
        *peer = nullptr;
        const auto accept = std::make_shared<weft::engine::Accept>(
            *context->context, deadline_of(*context->context, timeout_ns));
        run(context->context, accept, nullptr);
        *peer = new weft_peer{context->context, accept->peer()};
    });
}

uint64_t weft_peer_id(const weft_peer* peer) {
    return peer != nullptr ? peer->id : 0;
}

weft_status weft_peer_close(weft_peer* peer) {
    delete peer;  // the edge belongs to the mesh: groups may use it
    return WEFT_OK;
}

weft_status weft_peer_set_policies(weft_peer* peer, const char* policies) {
    return guarded([&] {
        need(peer, "peer");
        need(policies, "policies");
        peer->context->set_policies(peer->id, policies);
    });
}

weft_status weft_peer_deny_path(weft_peer* peer, uint16_t path, int32_t denied) {
    return guarded([&] {
        need(peer, "peer");
        peer->context->deny_path(peer->id, path, denied != 0);
    });
}

weft_status weft_send(weft_peer* peer, const void* data, size_t length, uint64_t tag,
                      weft_request** request) {
    return message(peer, PeerMessage::Direction::kSend, const_cast<void*>(data), length, tag,
                   request);
}

weft_status weft_recv(weft_peer* peer, void* data, size_t length, uint64_t tag,
                      weft_request** request) {
    return message(peer, PeerMessage::Direction::kReceive, data, length, tag, request);
}

weft_status weft_region_register(weft_context* context, void* data, size_t length,
                                 weft_region** region) {
    return guarded([&] {
        need(context, "context");
        need(region, "region");
        *region = nullptr;
        if (length > 0) {
            need(data, "data");
        }
        auto made =
            std::make_shared<Region>(context->context->one_sided(), context->context->engine(),
                                     static_cast<std::byte*>(data), length);
        *region = new weft_region{context->context, std::move(made)};
    });
}

void weft_region_descriptor(const weft_region* region, uint8_t descriptor[WEFT_DESCRIPTOR_BYTES]) {
    if (region != nullptr && descriptor != nullptr) {
        std::memcpy(descriptor, &region->region->descriptor(), WEFT_DESCRIPTOR_BYTES);
    }
}

weft_status weft_region_release(weft_region* region) {
    return guarded([&] {
        if (region != nullptr) {
            region->region.reset();  // before the context it belongs to
            delete region;
        }
    });
}

weft_status weft_write(weft_peer* peer, const void* data, size_t length,
                       const uint8_t descriptor[WEFT_DESCRIPTOR_BYTES], uint64_t offset,
                       uint64_t notify, weft_request** request) {
    return access(peer, RemoteAccess::Kind::kWrite, const_cast<void*>(data), length, descriptor,
                  offset, notify, request);
}

weft_status weft_read(weft_peer* peer, void* data, size_t length,
                      const uint8_t descriptor[WEFT_DESCRIPTOR_BYTES], uint64_t offset,
                      uint64_t notify, weft_request** request) {
    return access(peer, RemoteAccess::Kind::kRead, data, length, descriptor, offset, notify,
                  request);
}

weft_status weft_notification_wait(weft_context* context, int64_t timeout_ns,
                                   weft_notification* notification) {
    return guarded([&] {
        need(context, "context");
        need(notification, "notification");
        const auto wait = std::make_shared<weft::engine::NotificationWait>(
            context->context->one_sided(), deadline_of(*context->context, timeout_ns));
        run(context->context, wait, nullptr);
        if (!wait->arrived()) {
            return WEFT_IN_PROGRESS;
        }
        *notification = wait->notification();
        return WEFT_OK;
    });
}
