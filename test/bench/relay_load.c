/*
 * The load of relays, for test/bench/relay.py:
 *
 *     bench-relay send LINK MAC SOURCE TARGET SECONDS RATE < ports
 *         sends RTP of 20 ms of G.711 from each port of SOURCE to its port of TARGET ("FROM TO" on
 * a line), as many a second in all, past this machine's own IP; prints how many bench-relay spin
 * SECONDS turns in a loop when nobody else wants the processor; prints the turns of a second
 *     bench-relay count LINK OBJECT
 *         counts what would leave; at each line of input prints how many, and p50 and p99 in us of
 *         the time since they were sent, and begins anew
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME 214u
#define STREAMS 8192u
#define BATCH 32u
#define TOGETHER 4e-5 /* seconds of packets that are sent by one call, at most */
#define STAMP 54u
#define BINS 8192u
#define PROCESSORS 256u

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* ---- send */

static uint8_t frames[STREAMS][FRAME];
static unsigned stream_count;

static void put16(uint8_t *at, unsigned n)
{
    at[0] = (uint8_t)(n >> 8);
    at[1] = (uint8_t)n;
}

static uint32_t sum_of(const uint8_t *at, unsigned len, uint32_t sum)
{
    for (unsigned i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)at[i] << 8 | at[i + 1];
    return sum;
}

static unsigned checksum(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

/* Number and stamp come with their complements, so that the checksum is always the same. */
static void stamp_frame(uint8_t *f, uint64_t stamp)
{
    uint64_t inverse = ~stamp;
    unsigned number = ((unsigned)f[44] << 8 | f[45]) + 1;

    put16(f + 44, number & 0xffff);
    put16(f + STAMP + 16, ~number & 0xffff);
    memcpy(f + STAMP, &stamp, sizeof stamp);
    memcpy(f + STAMP + 8, &inverse, sizeof inverse);
}

static void make_frame(uint8_t *f, const uint8_t *mac, const char *source, const char *target,
                       unsigned from, unsigned to)
{
    memcpy(f, mac, 6);
    f[6] = 2;
    put16(f + 12, ETH_P_IP);
    f[14] = 0x45;
    f[15] = 0xb8;
    put16(f + 16, FRAME - 14);
    f[22] = 64;
    f[23] = IPPROTO_UDP;
    if (inet_pton(AF_INET, source, f + 26) != 1 || inet_pton(AF_INET, target, f + 30) != 1)
        die("addresses");
    put16(f + 24, checksum(sum_of(f + 14, 20, 0)));
    put16(f + 34, from);
    put16(f + 36, to);
    put16(f + 38, FRAME - 34);
    f[42] = 0x80;
    put16(f + 50, from);
    put16(f + 52, to);
    stamp_frame(f, 0);
    put16(f + 40,
          checksum(sum_of(f + 34, FRAME - 34, sum_of(f + 26, 8, IPPROTO_UDP + FRAME - 34))));
}

static void read_streams(char **words)
{
    uint8_t mac[6];
    unsigned from, to;

    if (sscanf(words[1], "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4,
               mac + 5) != 6)
        die("MAC");
    while (stream_count < STREAMS && scanf("%u %u", &from, &to) == 2)
        make_frame(frames[stream_count++], mac, words[2], words[3], from, to);
    if (!stream_count)
        die("ports");
}

static int open_link(const char *name)
{
    struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name)};
    int on = 1, fd = socket(AF_PACKET, SOCK_RAW, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) < 0)
        die(name);
    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    return fd;
}

static int send_streams(char **words)
{
    double seconds = atof(words[4]), rate = atof(words[5]);
    struct mmsghdr messages[BATCH] = {0};
    struct iovec pieces[BATCH];
    uint64_t begun, sent = 0, next = 0, end;
    unsigned some = (unsigned)(rate * TOGETHER);
    int fd = open_link(words[0]);

    some = some < 1 ? 1 : some > BATCH ? BATCH : some;
    read_streams(words);
    begun = now_ns();
    end = begun + (uint64_t)(seconds * 1e9);
    for (uint64_t now = begun; now < end; now = now_ns()) {
        int count;
        if (now - begun < (uint64_t)((double)sent * 1e9 / rate))
            continue;
        for (unsigned i = 0; i < some; i++) {
            uint8_t *f = frames[(next + i) % stream_count];
            stamp_frame(f, now);
            pieces[i] = (struct iovec){f, FRAME};
            messages[i].msg_hdr.msg_iov = &pieces[i];
            messages[i].msg_hdr.msg_iovlen = 1;
        }
        count = sendmmsg(fd, messages, some, 0);
        if (count < 0 && errno != ENOBUFS && errno != EAGAIN)
            die("sendmmsg");
        if (count > 0) {
            sent += (unsigned)count;
            next += (unsigned)count;
        }
    }
    printf("%llu %.0f\n", (unsigned long long)sent,
           (double)sent * 1e9 / (double)(now_ns() - begun));
    return 0;
}

/* ---- spin */

static int spin(char **words)
{
    struct sched_param none = {0};
    double seconds = atof(words[0]);
    uint64_t turns = 0, begun, now;

    if (sched_setscheduler(0, SCHED_IDLE, &none) < 0)
        die("SCHED_IDLE");
    begun = now_ns();
    do {
        for (volatile unsigned i = 0; i < 1000; i++)
            continue;
        turns++;
        now = now_ns();
    } while ((double)(now - begun) < seconds * 1e9);
    printf("%.1f\n", (double)turns * 1e9 / (double)(now - begun));
    return 0;
}

/* ---- count */

static uint64_t bins[BINS];

static void read_bins(int map)
{
    static uint64_t each[PROCESSORS], none[PROCESSORS];
    int processors = libbpf_num_possible_cpus();

    memset(bins, 0, sizeof bins);
    for (uint32_t i = 0; i < BINS && processors <= (int)PROCESSORS; i++) {
        if (bpf_map_lookup_elem(map, &i, each) < 0)
            die("bins");
        for (int p = 0; p < processors; p++)
            bins[i] += each[p];
        if (bins[i] && bpf_map_update_elem(map, &i, none, BPF_ANY) < 0)
            die("bins");
    }
}

static double quantile(uint64_t sum, double share)
{
    uint64_t below = 0;

    for (uint32_t i = 0; i < BINS; i++) {
        below += bins[i];
        if ((double)below >= share * (double)sum && sum)
            return ((double)i + 0.5) * 0.512;
    }
    return 0;
}

static int count_link(char **words)
{
    struct bpf_object *object = bpf_object__open(words[1]);
    struct bpf_tc_hook hook = {
        .sz = sizeof hook, .ifindex = (int)if_nametoindex(words[0]), .attach_point = BPF_TC_EGRESS};
    struct bpf_tc_opts opts = {.sz = sizeof opts, .handle = 1, .priority = 1};
    char line[64];
    int error, map;

    if (!object || bpf_object__load(object) < 0)
        die(words[1]);
    libbpf_set_print(NULL);
    opts.prog_fd = bpf_program__fd(bpf_object__find_program_by_name(object, "count"));
    map = bpf_object__find_map_fd_by_name(object, "bins");
    error = bpf_tc_hook_create(&hook);
    if ((error && error != -EEXIST) || bpf_tc_attach(&hook, &opts) < 0)
        die(words[0]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready\n");
    while (fgets(line, sizeof line, stdin)) {
        uint64_t sum = 0;
        read_bins(map);
        for (uint32_t i = 0; i < BINS; i++)
            sum += bins[i];
        printf("%llu %.1f %.1f\n", (unsigned long long)sum, quantile(sum, 0.5),
               quantile(sum, 0.99));
    }
    return 0;
}

int main(int count, char **words)
{
    if (count == 8 && strcmp(words[1], "send") == 0)
        return send_streams(words + 2);
    if (count == 3 && strcmp(words[1], "spin") == 0)
        return spin(words + 2);
    if (count == 4 && strcmp(words[1], "count") == 0)
        return count_link(words + 2);
    fprintf(stderr, "bench-relay: send, spin or count: relay_load.c says how\n");
    return 2;
}
