/*
 * What leaves a link, for the bench of relays: counts it, sorts it by how long it took from the
 * sender's stamp, and drops it, so that nobody's receiving is measured.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>

#include <bpf/bpf_helpers.h>

#define BINS 8192   /* of half a microsecond; the last has all above */
#define BIN_SHIFT 9 /* 512 ns */
#define STAMP 54    /* where it is: behind the headers of Ethernet, IPv4, UDP and RTP */

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, BINS);
    __type(key, __u32);
    __type(value, __u64);
} bins SEC(".maps");

SEC("tc")
int count(struct __sk_buff *skb)
{
    __u64 stamp, took, *bin;
    __u32 i;

    if (skb->len != 214 || bpf_skb_load_bytes(skb, STAMP, &stamp, sizeof stamp) < 0)
        return TC_ACT_UNSPEC;
    took = (bpf_ktime_get_ns() - stamp) >> BIN_SHIFT;
    i = took < BINS - 1 ? (__u32)took : BINS - 1;
    bin = bpf_map_lookup_elem(&bins, &i);
    if (bin)
        ++*bin;
    return TC_ACT_SHOT;
}

char terms[] SEC("license") = "GPL";
