/*
 * The relay in the kernel: looks at each packet that comes in on a link, and those that are a leg's
 * (core/leg.h) go out again, to whom the leg beside it says, without any process having seen them.
 *
 * What it leaves to the machine: all that is not UDP to a leg, and what has IP options, extension
 * headers or a VLAN's tag, which comes again on the VLAN's own link.  Of a datagram in fragments
 * the first, which has the ports, says where the others go; those that overtake it are lost, and so
 * is one that would have to change between IPv4 and IPv6.
 */
#include "core/leg_stream.h"
#include "shell/relay_maps.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define LEGS 32768 /* unless the loader says otherwise */
#define INLINE static inline __attribute__((always_inline))
#define OFFSET 0x1fff                /* of a fragment; of the first 0 (RFC 791 3.1) */
#define MORE 0x2000                  /* are to come */
#define OFFSET_V6 0xfff8             /* the same (RFC 8200 4.5) */
#define FRAGMENT_LEAST 512           /* bytes of one, but the last */
#define FRAGMENTED 1024              /* datagrams at a time, */
#define FRAGMENTS_LIFE 2000000000ull /* and how long they are waited for, in ns */
#define DONT_FRAGMENT 0x4000
#define ADDRESS_V4 2 /* AF_INET, whose header is not for here */
#define LARGEST 2048 /* bytes of a datagram whose checksum is made anew */
#define CHUNK 512    /* of them, at a time */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, LEGS);
    __type(key, struct leg_place);
    __type(value, struct relay_entry);
} rules SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, LEGS);
    __type(key, __u32);
    __type(value, struct relay_slot);
} slots SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, LEGS);
    __type(key, __u32);
    __type(value, struct leg_stream);
} streams SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct relay_pulse);
} pulse SEC(".maps");

/* By which link, and to which next hop there, as in struct relay_slot. */
struct way {
    __u32 link, hop;
};

struct fragments_key {
    struct leg_place from, to; /* without ports; behind the second's address the datagram's id */
};

/* Where the later fragments of a datagram go. */
struct fragments {
    struct leg_place from, to;
    struct way way;
    __u64 until;
    __u64 left; /* packets; as many as it may have at most */
};

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, FRAGMENTED);
    __type(key, struct fragments_key);
    __type(value, struct fragments);
} fragments SEC(".maps");

/* Room for a datagram that has no checksum; as far as the verifier fears that a last chunk goes. */
struct scratch {
    __u8 at[LARGEST + 2 * CHUNK];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct scratch);
} scratch SEC(".maps");

/* The verifier believes a bound only where it sees it, and the compiler takes out what it knows; it
 * makes one comparison of two, too, which older verifiers (Linux 6.1) learn nothing from. */
#define BOUND(number, mask) __asm__ volatile("%0 &= " #mask : "+r"(number))
#define FORGET(number) __asm__ volatile("" : "+r"(number))

/* A packet: what its headers say, where they are. */
struct packet {
    struct leg_place to;
    struct leg_packet leg;
    __u16 l4_len; /* UDP's, and what it carries */
    __u16 checksum;
    __u8 class; /* DSCP and ECN */
    __u8 hops;
    bool is_v6;
    bool is_fragment; /* the first */
    bool is_later;    /* or another: it has no ports */
    __u32 id;         /* the datagram's */
    __u32 l4;         /* where UDP's header begins, behind that of the link */
};

INLINE void set_v4(struct leg_place *place, __u32 address, __u16 port)
{
    __u32 *words = (__u32 *)place;

    words[0] = words[1] = 0;
    words[2] = bpf_htonl(0xffff);
    words[3] = address;
    *(__u16 *)place->port = port;
    *(__u16 *)place->unused = 0;
}

INLINE void set_v6(struct leg_place *place, const struct in6_addr *address, __u16 port)
{
    __u32 *words = (__u32 *)place;

    words[0] = address->in6_u.u6_addr32[0];
    words[1] = address->in6_u.u6_addr32[1];
    words[2] = address->in6_u.u6_addr32[2];
    words[3] = address->in6_u.u6_addr32[3];
    *(__u16 *)place->port = port;
    *(__u16 *)place->unused = 0;
}

INLINE bool is_v4_place(const struct leg_place *place)
{
    return leg_word(place, 2) == bpf_htonl(0xffff) && !leg_word(place, 1) && !leg_word(place, 0);
}

INLINE __u16 port_of(const struct leg_place *place)
{
    return *(const __u16 *)place->port;
}

/* UDP's header behind the IP header; false if it is no whole datagram. */
INLINE bool read_udp(struct packet *p, const struct udphdr *udp, const void *end, __u32 room)
{
    if ((const void *)(udp + 1) > end)
        return false;
    p->l4_len = bpf_ntohs(udp->len);
    p->checksum = udp->check;
    return p->l4_len >= sizeof *udp && p->l4_len <= room;
}

INLINE bool read_v4(struct packet *p, const struct iphdr *ip, const void *end)
{
    const struct udphdr *udp = (const void *)(ip + 1);
    __u32 len;

    if ((const void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5 ||
        ip->protocol != IPPROTO_UDP)
        return false;
    p->class = ip->tos;
    p->hops = ip->ttl;
    p->id = ip->id;
    p->l4 = sizeof *ip;
    if (ip->frag_off & bpf_htons(OFFSET)) {
        p->is_later = true;
        set_v4(&p->to, ip->daddr, 0);
        set_v4(&p->leg.from, ip->saddr, 0);
        return true;
    }
    len = bpf_ntohs(ip->tot_len);
    p->is_fragment = ip->frag_off & bpf_htons(MORE);
    if (len < sizeof *ip || !read_udp(p, udp, end, p->is_fragment ? 65535 : len - sizeof *ip))
        return false;
    set_v4(&p->to, ip->daddr, udp->dest);
    set_v4(&p->leg.from, ip->saddr, udp->source);
    return true;
}

/* Its header, between IP's and UDP's (RFC 8200 4.5). */
struct fragment_v6 {
    __u8 next, unused;
    __be16 offset;
    __be32 id;
};

/* False: it is none of UDP. */
INLINE bool read_fragment_v6(struct packet *p, const struct ipv6hdr *ip, const void *end)
{
    const struct fragment_v6 *fragment = (const void *)(ip + 1);

    if ((const void *)(fragment + 1) > end || fragment->next != IPPROTO_UDP)
        return false;
    p->id = fragment->id;
    p->l4 = sizeof *ip + sizeof *fragment;
    p->is_later = fragment->offset & bpf_htons(OFFSET_V6);
    p->is_fragment = !p->is_later;
    return p->is_later || read_udp(p, (const void *)(fragment + 1), end, 65535);
}

INLINE bool read_v6(struct packet *p, const struct ipv6hdr *ip, const void *end)
{
    const struct udphdr *udp = (const void *)(ip + 1);

    if ((const void *)(ip + 1) > end || ip->version != 6)
        return false;
    p->is_v6 = true;
    p->class = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
    p->hops = ip->hop_limit;
    p->l4 = sizeof *ip;
    if (ip->nexthdr == IPPROTO_FRAGMENT) {
        if (!read_fragment_v6(p, ip, end))
            return false;
        udp = (const void *)((const struct fragment_v6 *)(ip + 1) + 1);
    } else if (ip->nexthdr != IPPROTO_UDP || !read_udp(p, udp, end, bpf_ntohs(ip->payload_len))) {
        return false;
    }
    if (p->is_later) {
        set_v6(&p->to, &ip->daddr, 0);
        set_v6(&p->leg.from, &ip->saddr, 0);
        return true;
    }
    set_v6(&p->to, &ip->daddr, udp->dest);
    set_v6(&p->leg.from, &ip->saddr, udp->source);
    return true;
}

/* False: it is not for us. */
INLINE bool read_packet(struct __sk_buff *skb, __u32 l2, struct packet *p)
{
    __u32 wanted =
        l2 + sizeof(struct ipv6hdr) + sizeof(struct fragment_v6) + sizeof(struct udphdr) + LEG_HEAD;
    const void *ip;

    if (skb->pkt_type != 0 /* PACKET_HOST */ || skb->vlan_present)
        return false;
    if (skb->data + wanted > skb->data_end && skb->data_end - skb->data < skb->len)
        bpf_skb_pull_data(skb, wanted < skb->len ? wanted : skb->len);
    ip = (const void *)(long)skb->data + l2;
    if (skb->protocol == bpf_htons(ETH_P_IP))
        return read_v4(p, ip, (const void *)(long)skb->data_end);
    if (skb->protocol == bpf_htons(ETH_P_IPV6))
        return read_v6(p, ip, (const void *)(long)skb->data_end);
    return false;
}

/* The first bytes of what UDP carries. */
INLINE void read_head(struct __sk_buff *skb, __u32 l4, struct packet *p)
{
    __u32 *words = (__u32 *)p->leg.head;
    const __u32 *head;
    __u64 at = l4 + sizeof(struct udphdr);
    __u32 more; /* than one */

    BOUND(at, 127);
    head = (const void *)(long)skb->data + at;
    p->leg.len = p->l4_len - sizeof(struct udphdr);
    words[0] = words[1] = words[2] = 0;
    if (p->leg.len >= LEG_HEAD) {
        if ((const void *)(head + 3) > (const void *)(long)skb->data_end)
            return;
        words[0] = head[0];
        words[1] = head[1];
        words[2] = head[2];
    } else {
        more = p->leg.len - 1;
        FORGET(more);
        if (more < LEG_HEAD - 1)
            bpf_skb_load_bytes(skb, (__u32)at, p->leg.head, more + 1);
    }
}

INLINE struct relay_slot *slot_of(const struct relay_entry *entry)
{
    __u32 slot = entry->slot;

    return entry->rule.version == LEG_VERSION ? bpf_map_lookup_elem(&slots, &slot) : NULL;
}

/* ---- rewriting */

INLINE __u32 fold(__u64 sum)
{
    sum = (sum & 0xffffffff) + (sum >> 32);
    return (__u32)((sum & 0xffffffff) + (sum >> 32));
}

/* The sum of a place's words (RFC 1071): what a pseudo header has of it. */
INLINE __u64 sum_host(const struct leg_place *place, bool is_v6)
{
    __u64 sum = leg_word(place, 3);

    return is_v6 ? sum + leg_word(place, 2) + leg_word(place, 1) + leg_word(place, 0) : sum;
}

INLINE __u16 fold_short(__u64 sum)
{
    sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + ((sum >> 32) & 0xffff) + (sum >> 48);
    sum = (sum & 0xffff) + (sum >> 16);
    return (__u16) ~((sum & 0xffff) + (sum >> 16));
}

INLINE bool write_v4(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                     const struct leg_place *from, const struct leg_place *to, bool is_new)
{
    struct iphdr *ip = (void *)(long)skb->data + l2;
    const __u16 *shorts = (const __u16 *)ip;
    __u64 sum = 0;

    if ((void *)(ip + 1) > (void *)(long)skb->data_end)
        return false;
    if (is_new) { /* a whole datagram for ever: RFC 6864 4.1 lets its id be anything */
        *(__u16 *)ip = bpf_htons(0x4500 | p->class);
        ip->tot_len = bpf_htons((__u16)(sizeof *ip + p->l4_len));
        ip->id = 0;
        ip->frag_off = bpf_htons(DONT_FRAGMENT);
        ip->protocol = IPPROTO_UDP;
    }
    ip->ttl = p->hops - 1;
    ip->saddr = leg_word(from, 3);
    ip->daddr = leg_word(to, 3);
    ip->check = 0;
    for (int i = 0; i < 10; i++)
        sum += shorts[i];
    ip->check = fold_short(sum);
    return true;
}

INLINE bool write_v6(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                     const struct leg_place *from, const struct leg_place *to, bool is_new)
{
    struct ipv6hdr *ip = (void *)(long)skb->data + l2;
    __u32 *source = (__u32 *)&ip->saddr, *target = (__u32 *)&ip->daddr;

    if ((void *)(ip + 1) > (void *)(long)skb->data_end)
        return false;
    if (is_new) {
        *(__u32 *)ip = bpf_htonl(0x60000000 | (__u32)p->class << 20);
        ip->payload_len = bpf_htons(p->l4_len);
        ip->nexthdr = IPPROTO_UDP;
    }
    ip->hop_limit = p->hops - 1;
    for (int i = 0; i < 4; i++) {
        source[i] = leg_word(from, i);
        target[i] = leg_word(to, i);
    }
    return true;
}

/* The sum over a datagram without checksum, which IPv6 demands (RFC 8200 8.1); -1 if it is too
 * long. */
INLINE __s64 sum_datagram(struct __sk_buff *skb, __u32 at, __u32 len)
{
    __u32 zero = 0;
    struct scratch *room = bpf_map_lookup_elem(&scratch, &zero);
    __s64 sum = 0;

    if (!room || len < sizeof(struct udphdr))
        return -1;
    FORGET(len);
    if (len > LARGEST)
        return -1;
    if (bpf_skb_load_bytes(skb, at, room->at, len) < 0)
        return -1;
    __builtin_memset(room->at + (len & (LARGEST | (LARGEST - 1))), 0, 4);
    for (__u32 i = 0; i < LARGEST; i += CHUNK) {
        __u32 some = len > i ? len - i : 0;
        if (!some)
            break;
        some = some > CHUNK ? CHUNK : (some + 3) & ~3u;
        BOUND(some, 0x3ff);
        sum = bpf_csum_diff(NULL, 0, (__be32 *)(room->at + i), some, (__wsum)sum);
        if (sum < 0)
            return -1;
    }
    return sum;
}

/* UDP's ports, and its checksum where it had none and needs one. */
INLINE bool write_udp(struct __sk_buff *skb, __u32 l4, const struct packet *p,
                      const struct leg_place *from, const struct leg_place *to, bool is_v6)
{
    struct udphdr *udp = (void *)(long)skb->data + l4;
    __u32 check = l4 + __builtin_offsetof(struct udphdr, check);
    __u64 ports, hosts;
    __s64 sum;

    if ((void *)(udp + 1) > (void *)(long)skb->data_end)
        return false;
    udp->source = port_of(from);
    udp->dest = port_of(to);
    if (!p->checksum && !is_v6)
        return true;
    if (!p->checksum) {
        __u16 made;
        sum = sum_datagram(skb, l4, p->l4_len);
        if (sum < 0)
            return false;
        made = fold_short((__u64)(__u32)sum + sum_host(from, true) + sum_host(to, true) +
                          bpf_htons(p->l4_len) + bpf_htons(IPPROTO_UDP));
        made = made ? made : 0xffff;
        return bpf_skb_store_bytes(skb, check, &made, sizeof made, 0) == 0;
    }
    ports = (__u64)port_of(from) + port_of(to) + (__u16)~port_of(&p->leg.from) +
            (__u16)~port_of(&p->to);
    hosts = sum_host(from, is_v6) + sum_host(to, is_v6) +
            (__u32)~fold(sum_host(&p->leg.from, p->is_v6) + sum_host(&p->to, p->is_v6));
    return bpf_l4_csum_replace(skb, check, 0, fold(ports), BPF_F_MARK_MANGLED_0) == 0 &&
           bpf_l4_csum_replace(skb, check, 0, fold(hosts),
                               BPF_F_MARK_MANGLED_0 | BPF_F_PSEUDO_HDR) == 0;
}

/* Of the family that it has. */
INLINE bool write_ip(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                     const struct leg_place *from, const struct leg_place *to)
{
    return p->is_v6 ? write_v6(skb, l2, p, from, to, false) : write_v4(skb, l2, p, from, to, false);
}

INLINE bool rewrite(struct __sk_buff *skb, __u32 l2, const struct packet *p,
                    const struct leg_place *from, const struct leg_place *to)
{
    bool is_v6 = !is_v4_place(to);
    bool is_new = is_v6 != p->is_v6;

    if (p->hops <= 1 || is_v6 != !is_v4_place(from))
        return false;
    if (is_new && p->is_fragment)
        return false;
    if (is_new && bpf_skb_change_proto(skb, bpf_htons(is_v6 ? ETH_P_IPV6 : ETH_P_IP), 0) < 0)
        return false;
    if (is_new) /* the other family's header is as long as it is */
        return is_v6 ? write_v6(skb, l2, p, from, to, true) &&
                           write_udp(skb, l2 + sizeof(struct ipv6hdr), p, from, to, true)
                     : write_v4(skb, l2, p, from, to, true) &&
                           write_udp(skb, l2 + sizeof(struct iphdr), p, from, to, false);
    return write_ip(skb, l2, p, from, to) && write_udp(skb, l2 + p->l4, p, from, to, is_v6);
}

/* ---- the path of a packet */

/* Where it goes: LEG_PASSES, the place, and the way there. */
INLINE int find_way(const struct relay_entry *entry, struct leg_place *to, struct way *way)
{
    const struct relay_entry *other = bpf_map_lookup_elem(&rules, &entry->rule.other);
    const struct relay_slot *slot = other ? slot_of(other) : NULL;

    if (!slot)
        return LEG_EARLY;
    way->hop = slot->is_used == RELAY_KEEPS_HOPS ? slot->hop : 0;
    way->link = slot->link;
    return leg_aim(&other->rule, &slot->state, to);
}

/* A packet that was let in. */
INLINE void hear(const struct relay_entry *entry, const struct leg_packet *p)
{
    __u32 slot = entry->slot;
    struct leg_stream *stream = bpf_map_lookup_elem(&streams, &slot);

    if (stream)
        leg_hear(&entry->rule, stream, p);
}

/* To a next hop that is known the kernel need not look for a route, a tenth of all that a packet
 * costs. */
INLINE int leave(const struct way *way, __u64 now)
{
    __u32 zero = 0;
    const struct relay_pulse *known = way->hop ? bpf_map_lookup_elem(&pulse, &zero) : NULL;
    struct bpf_redir_neigh hop = {.nh_family = ADDRESS_V4, .ipv4_nh = way->hop};

    if (known && now < known->until)
        return (int)bpf_redirect_neigh(way->link, &hop, sizeof hop, 0);
    return (int)bpf_redirect_neigh(way->link, NULL, 0, 0);
}

INLINE void make_key(struct fragments_key *key, const struct packet *p)
{
    leg_copy_place(&key->from, &p->leg.from);
    leg_copy_place(&key->to, &p->to);
    *(__u32 *)key->from.port = 0;
    *(__u32 *)key->to.port = p->id;
}

/* The first of them has just gone there. */
INLINE void remember(const struct packet *p, const struct leg_place *from,
                     const struct leg_place *to, const struct way *way)
{
    struct fragments found = {
        .way = *way, .until = p->leg.now + FRAGMENTS_LIFE, .left = p->l4_len / FRAGMENT_LEAST + 1};
    struct fragments_key key;

    make_key(&key, p);
    leg_copy_place(&found.from, from);
    leg_copy_place(&found.to, to);
    bpf_map_update_elem(&fragments, &key, &found, BPF_ANY);
}

/* They are nobody's whose first has not gone by us: the machine's, perhaps. */
INLINE int relay_later(struct __sk_buff *skb, __u32 l2, const struct packet *p)
{
    __u64 now = bpf_ktime_get_boot_ns();
    struct fragments_key key;
    struct fragments *found;

    make_key(&key, p);
    found = bpf_map_lookup_elem(&fragments, &key);
    if (!found || now > found->until)
        return TC_ACT_UNSPEC;
    if (p->hops <= 1 || !found->left || !write_ip(skb, l2, p, &found->from, &found->to))
        return TC_ACT_SHOT;
    __sync_fetch_and_add(&found->left, -1);
    return leave(&found->way, now);
}

INLINE int relay(struct __sk_buff *skb, __u32 l2)
{
    struct packet p = {0};
    struct leg_place from __attribute__((aligned(8))), to __attribute__((aligned(8)));
    const struct relay_entry *entry;
    struct relay_slot *slot;
    struct way way = {0};
    int verdict;

    if (!read_packet(skb, l2, &p))
        return TC_ACT_UNSPEC;
    if (p.is_later)
        return relay_later(skb, l2, &p);
    entry = bpf_map_lookup_elem(&rules, &p.to);
    slot = entry ? slot_of(entry) : NULL;
    if (!slot)
        return TC_ACT_UNSPEC;
    read_head(skb, l2 + p.l4, &p);
    p.leg.now = bpf_ktime_get_boot_ns();
    verdict = leg_take(&entry->rule, &slot->state, &p.leg);
    if (verdict == LEG_PASSES) {
        hear(entry, &p.leg);
        verdict = find_way(entry, &to, &way);
    }
    if (verdict == LEG_PASSES) {
        leg_copy_place(&from, &entry->rule.other);
        if (!way.link || !rewrite(skb, l2, &p, &from, &to))
            verdict = LEG_LOST;
        else if (p.is_fragment)
            remember(&p, &from, &to, &way);
    }
    leg_count(&slot->state, verdict, p.leg.len);
    return verdict == LEG_PASSES ? leave(&way, p.leg.now) : TC_ACT_SHOT;
}

/* Of links whose packets begin with a header of Ethernet, and of those that have none. */
SEC("tc")
int ether(struct __sk_buff *skb)
{
    return relay(skb, ETH_HLEN);
}

SEC("tc")
int plain(struct __sk_buff *skb)
{
    return relay(skb, 0);
}

char terms[] SEC("license") = "GPL";
