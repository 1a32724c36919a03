/* The floor under every SIP server: receives datagrams in batches and sends the same bytes back.
   With --md5 it also computes, for each, what checking a digest response takes when HA1 is known:
   two MD5 sums (RFC 2617 3.2.2). */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, DATAGRAM = 4096 };

struct batch {
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_in sources[BATCH];
    char datagrams[BATCH][DATAGRAM];
};

static int echo_open(unsigned port)
{
    int size = 4 << 20;
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int socket_number = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_number < 0)
        return -errno;
    setsockopt(socket_number, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    setsockopt(socket_number, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    if (bind(socket_number, (struct sockaddr *)&name, sizeof name) < 0)
        return -errno;
    return socket_number;
}

static void echo_prepare(struct batch *batch)
{
    for (unsigned i = 0; i < BATCH; i++) {
        batch->vectors[i].iov_base = batch->datagrams[i];
        batch->headers[i].msg_hdr.msg_iov = &batch->vectors[i];
        batch->headers[i].msg_hdr.msg_iovlen = 1;
        batch->headers[i].msg_hdr.msg_name = &batch->sources[i];
    }
}

static void echo_digest(EVP_MD_CTX *context, const EVP_MD *md5, const char *bytes, size_t length)
{
    enum { HA2_LENGTH = 40, RESPONSE_LENGTH = 130 };
    unsigned char hash[EVP_MAX_MD_SIZE];
    EVP_DigestInit_ex(context, md5, NULL);
    EVP_DigestUpdate(context, bytes, length < HA2_LENGTH ? length : HA2_LENGTH);
    EVP_DigestFinal_ex(context, hash, NULL);
    EVP_DigestInit_ex(context, md5, NULL);
    EVP_DigestUpdate(context, bytes, length < RESPONSE_LENGTH ? length : RESPONSE_LENGTH);
    EVP_DigestFinal_ex(context, hash, NULL);
}

static int echo_batch(int socket_number, struct batch *batch)
{
    for (unsigned i = 0; i < BATCH; i++) {
        batch->vectors[i].iov_len = DATAGRAM;
        batch->headers[i].msg_hdr.msg_namelen = sizeof batch->sources[i];
    }
    int count = recvmmsg(socket_number, batch->headers, BATCH, MSG_WAITFORONE, NULL);
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++)
        batch->vectors[i].iov_len = batch->headers[i].msg_len;
    return count;
}

int main(int argc, char **argv)
{
    static struct batch batch;
    unsigned port = argc > 1 ? (unsigned)atoi(argv[1]) : 0;
    bool digest = argc > 2 && strcmp(argv[2], "--md5") == 0;
    if (port == 0) {
        fprintf(stderr, "usage: bench-echo PORT [--md5]\n");
        return 2;
    }
    EVP_MD *md5 = EVP_MD_fetch(NULL, "MD5", NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int socket_number = echo_open(port);
    if (socket_number < 0 || !md5 || !context) {
        fprintf(stderr, "bench-echo: port %u: %s\n", port, strerror(-socket_number));
        return 1;
    }
    echo_prepare(&batch);
    printf("bench-echo: ready\n");
    fflush(stdout);
    for (;;) {
        int count = echo_batch(socket_number, &batch);
        if (count == -EINTR)
            continue;
        if (count < 0)
            return 1;
        for (int i = 0; digest && i < count; i++)
            echo_digest(context, md5, batch.datagrams[i], batch.vectors[i].iov_len);
        for (int sent = 0, more; sent < count; sent += more)
            if ((more = sendmmsg(socket_number, batch.headers + sent, (unsigned)(count - sent),
                                 0)) < 0)
                break;
    }
}
