/*
 * A source and a sink of UDP packets, for measuring what carries them.
 *
 *   packets send ADDRESS PORT BYTES PER_SECOND SECONDS FLOWS SEGMENTS
 *   packets receive PORT QUIET_SECONDS
 *
 * The source sends packets of BYTES of payload from FLOWS sockets in turn, in batches, on an absolute schedule; SEGMENTS > 1
 * makes trains of so many packets (UDP_SEGMENT). PER_SECOND counts packets; 0: as fast as it can. The sink says "ready", takes
 * all that comes until nothing has come for QUIET_SECONDS, and reads trains whole. Each prints a JSON line: packets, bytes,
 * seconds (first to last), the source also the worst lateness behind its schedule.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { kBatch = 16, kMostFlows = 64, kLargest = 65000, kTake = 64, kPatience = 20 };

static double now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static int fail(const char* what) {
    fprintf(stderr, "packets: %s: %s\n", what, strerror(errno));
    return 1;
}

static void sleep_until(double when) {
    struct timespec ts = {(time_t)when, (long)((when - (double)(time_t)when) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR) {
    }
}

static int send_all(char** argv) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
    int bytes = atoi(argv[4]), flows = atoi(argv[7]), segments = atoi(argv[8]);
    double rate = atof(argv[5]), seconds = atof(argv[6]);
    if (inet_pton(AF_INET, argv[2], &to.sin_addr) != 1 || bytes < 1 || flows < 1 || flows > kMostFlows || segments < 1 ||
        bytes * segments > kLargest) {
        fprintf(stderr, "packets: an address, sizes or counts are out of range\n");
        return 2;
    }
    int sockets[kMostFlows];
    for (int i = 0; i < flows; ++i) {
        sockets[i] = socket(AF_INET, SOCK_DGRAM, 0);
        int room = 4 << 20, ect = 2;
        if (sockets[i] < 0 || connect(sockets[i], (struct sockaddr*)&to, sizeof to) != 0) return fail("a socket");
        setsockopt(sockets[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        setsockopt(sockets[i], IPPROTO_IP, IP_TOS, &ect, sizeof ect);
        if (segments > 1 && setsockopt(sockets[i], IPPROTO_UDP, UDP_SEGMENT, &bytes, sizeof bytes) != 0)
            return fail("UDP_SEGMENT");
    }
    static char payload[kLargest];
    struct iovec piece = {payload, (size_t)(bytes * segments)};
    struct mmsghdr batch[kBatch];
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < kBatch; ++i) {
        batch[i].msg_hdr.msg_iov = &piece;
        batch[i].msg_hdr.msg_iovlen = 1;
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    double began = now(), last = began, worst = 0;
    unsigned long long sent = 0, refused = 0;
    for (int flow = 0; now() < began + seconds; flow = (flow + 1) % flows) {
        if (rate > 0) {
            double due = began + (double)(sent + refused) / rate, at = now();
            if (at < due) sleep_until(due);
            else if (at - due > worst) worst = at - due;
        }
        int done = sendmmsg(sockets[flow], batch, kBatch, 0);
        if (done < 0) {
            refused += (unsigned long long)segments;
        } else {
            sent += (unsigned long long)done * (unsigned long long)segments;
        }
        last = now();
    }
    printf("{\"packets\": %llu, \"bytes\": %llu, \"seconds\": %.9f, \"refused\": %llu, \"late\": %.9f}\n", sent,
           sent * (unsigned long long)bytes, last - began, refused, worst);
    return 0;
}

static int receive_all(char** argv) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    int quiet = (int)(atof(argv[3]) * 1e3), sink = socket(AF_INET, SOCK_DGRAM, 0), room = 32 << 20, yes = 1;
    if (sink < 0 || bind(sink, (struct sockaddr*)&at, sizeof at) != 0) return fail("a socket");
    if (setsockopt(sink, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
        setsockopt(sink, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    setsockopt(sink, IPPROTO_UDP, UDP_GRO, &yes, sizeof yes);
    static char heads[kTake][64], controls[kTake][64];
    struct iovec pieces[kTake];
    struct mmsghdr batch[kTake];
    memset(batch, 0, sizeof batch);
    for (int i = 0; i < kTake; ++i) {
        pieces[i] = (struct iovec){heads[i], sizeof heads[i]};
        batch[i].msg_hdr.msg_iov = &pieces[i];
        batch[i].msg_hdr.msg_iovlen = 1;
        batch[i].msg_hdr.msg_control = controls[i];
    }
    printf("ready\n");
    fflush(stdout);
    unsigned long long packets = 0, bytes = 0, first_bytes = 0;
    double first = 0, last = 0;
    for (;;) {
        struct pollfd ready = {sink, POLLIN, 0};
        if (poll(&ready, 1, packets == 0 ? kPatience * 1000 : quiet) <= 0) break;
        for (int i = 0; i < kTake; ++i) batch[i].msg_hdr.msg_controllen = sizeof controls[i];
        int taken = recvmmsg(sink, batch, kTake, MSG_DONTWAIT | MSG_TRUNC, NULL);
        last = now();
        for (int i = 0; i < taken; ++i) {
            unsigned segment = batch[i].msg_len;
            for (struct cmsghdr* c = CMSG_FIRSTHDR(&batch[i].msg_hdr); c != NULL; c = CMSG_NXTHDR(&batch[i].msg_hdr, c)) {
                int value = 0;
                if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO) continue;
                memcpy(&value, CMSG_DATA(c), sizeof value);
                if (value > 0) segment = (unsigned)value;
            }
            packets += segment == 0 ? 1 : (batch[i].msg_len + segment - 1) / segment;
            bytes += batch[i].msg_len;
            if (first == 0) {
                first = last;
                first_bytes = batch[i].msg_len;
            }
        }
    }
    printf("{\"packets\": %llu, \"bytes\": %llu, \"first_bytes\": %llu, \"seconds\": %.9f}\n", packets, bytes, first_bytes,
           last - first);
    return 0;
}

int main(int argc, char** argv) {
    if (argc == 9 && strcmp(argv[1], "send") == 0) return send_all(argv);
    if (argc == 4 && strcmp(argv[1], "receive") == 0) return receive_all(argv);
    fprintf(stderr, "usage: %s send ADDRESS PORT BYTES PER_SECOND SECONDS FLOWS SEGMENTS | receive PORT QUIET_SECONDS\n",
            argv[0]);
    return 2;
}
