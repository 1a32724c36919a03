#include "shell/fetch.h"

#include "shell/chain.h"

#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BYTES_LIMIT 65536u   /* of an answer: a chain has some 10 KiB */
#define WHOLE_PATIENCE 4500L /* ms: the core waits half a second longer (core/certificates) */
#define CONNECT_PATIENCE 3000L
#define REDIRECTS 2L
#define LOOK_AGAIN 1000 /* ms */

/* What is asked for, from its question to its answer. */
struct job {
    struct job *next;
    uint64_t question;
    enum seclusion widest;
    char *uri, *domain;
    CURL *easy;
    char *bytes;
    size_t len;
    struct certificate found;
};

struct queue {
    struct job *first, **end;
};

struct fetch {
    struct log *log;
    int descriptor;
    CURLM *multi;
    pthread_t thread;
    bool is_running;

    pthread_mutex_t lock; /* of what follows */
    struct queue asked, done;
    char authfile[PATH_MAX];
    bool has_new_trust, ends;

    X509_STORE *store; /* the thread's; NULL: to be made */
    struct job *running;
};

static void put(struct queue *queue, struct job *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

static struct job *take(struct queue *queue)
{
    struct job *job = queue->first;

    if (job && !(queue->first = job->next))
        queue->end = &queue->first;
    return job;
}

static void free_job(struct job *job)
{
    free(job->uri);
    free(job->domain);
    free(job->bytes);
    free(job);
}

/* ---- what was fetched */

static X509_STORE *make_store(struct fetch *fetch)
{
    X509_STORE *store = X509_STORE_new();
    char authfile[PATH_MAX];

    pthread_mutex_lock(&fetch->lock);
    memcpy(authfile, fetch->authfile, sizeof authfile);
    pthread_mutex_unlock(&fetch->lock);
    if (store)
        X509_STORE_set_default_paths(store);
    if (store && authfile[0])
        X509_STORE_load_file(store, authfile);
    return store;
}

static void judge(struct fetch *fetch, struct job *job)
{
    if (!fetch->store)
        fetch->store = make_store(fetch);
    chain_judge(slice_of(job->bytes, job->len), slice_text(job->domain), fetch->store, &job->found);
}

/* ---- the thread */

static size_t keep_bytes(char *at, size_t size, size_t count, void *self)
{
    struct job *job = self;
    size_t len = size * count;

    if (len > BYTES_LIMIT - job->len)
        return 0; /* libcurl gives it up */
    memcpy(job->bytes + job->len, at, len);
    job->len += len;
    return len;
}

/* Wherever the name leads, and a redirect. */
static curl_socket_t open_socket(void *self, curlsocktype purpose, struct curl_sockaddr *to)
{
    const struct job *job = self;
    struct address_bytes address = {.is_v6 = to->family == AF_INET6};

    (void)purpose;
    if (to->family == AF_INET)
        memcpy(address.at, &((const struct sockaddr_in *)(const void *)&to->addr)->sin_addr, 4);
    else if (to->family == AF_INET6)
        memcpy(address.at, &((const struct sockaddr_in6 *)(const void *)&to->addr)->sin6_addr, 16);
    else
        return CURL_SOCKET_BAD;
    if (address_is_many(&address) || address_seclusion(&address) > job->widest)
        return CURL_SOCKET_BAD;
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static void set_options(struct job *job)
{
    CURL *easy = job->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, job);
    curl_easy_setopt(easy, CURLOPT_URL, job->uri);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, REDIRECTS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, WHOLE_PATIENCE);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_PATIENCE);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep_bytes);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, job);
    curl_easy_setopt(easy, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, job);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L); /* see the header */
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* nobody waits for a slow name server */
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "SIP Witch");
}

static void finish(struct fetch *fetch, struct job *job)
{
    uint64_t one = 1;

    pthread_mutex_lock(&fetch->lock);
    put(&fetch->done, job);
    pthread_mutex_unlock(&fetch->lock);
    while (write(fetch->descriptor, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void begin(struct fetch *fetch, struct job *job)
{
    job->found = (struct certificate){.state = CERTIFICATE_UNREACHABLE};
    job->bytes = malloc(BYTES_LIMIT);
    job->easy = job->bytes ? curl_easy_init() : NULL;
    if (job->easy) {
        set_options(job);
        if (curl_multi_add_handle(fetch->multi, job->easy) == CURLM_OK) {
            job->next = fetch->running;
            fetch->running = job;
            return;
        }
        curl_easy_cleanup(job->easy);
    }
    finish(fetch, job);
}

static void drop_easy(struct fetch *fetch, struct job *job)
{
    struct job **link = &fetch->running;

    while (*link != job)
        link = &(*link)->next;
    *link = job->next;
    curl_multi_remove_handle(fetch->multi, job->easy);
    curl_easy_cleanup(job->easy);
    job->easy = NULL;
}

static void take_finished(struct fetch *fetch)
{
    const CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(fetch->multi, &left))) {
        bool is_there = message->data.result == CURLE_OK;
        char *self = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &self);
        struct job *job = (struct job *)(void *)self;
        drop_easy(fetch, job);
        if (is_there)
            judge(fetch, job);
        finish(fetch, job);
    }
}

/* False if it is to end. */
static bool take_asked(struct fetch *fetch)
{
    struct job *job;
    bool ends;

    do {
        pthread_mutex_lock(&fetch->lock);
        job = take(&fetch->asked);
        ends = fetch->ends;
        if (fetch->has_new_trust) {
            X509_STORE_free(fetch->store);
            fetch->store = NULL;
            fetch->has_new_trust = false;
        }
        pthread_mutex_unlock(&fetch->lock);
        if (job)
            begin(fetch, job);
    } while (job && !ends);
    return !ends;
}

static void *run(void *self)
{
    struct fetch *fetch = self;
    int running;

    while (take_asked(fetch)) {
        curl_multi_perform(fetch->multi, &running);
        take_finished(fetch);
        curl_multi_poll(fetch->multi, NULL, 0, LOOK_AGAIN, NULL);
    }
    while (fetch->running) {
        struct job *job = fetch->running;
        drop_easy(fetch, job);
        free_job(job);
    }
    return NULL;
}

/* ---- the main thread */

struct fetch *fetch_open(struct log *log)
{
    struct fetch *fetch = calloc(1, sizeof *fetch);

    if (!fetch)
        return NULL;
    fetch->log = log;
    fetch->asked.end = &fetch->asked.first;
    fetch->done.end = &fetch->done.first;
    pthread_mutex_init(&fetch->lock, NULL);
    fetch->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fetch->descriptor >= 0)
        return fetch;
    log_line(log, LOG_FAILURE, "no event descriptor: %s", strerror(errno));
    fetch_close(fetch);
    return NULL;
}

void fetch_close(struct fetch *fetch)
{
    struct job *job;

    if (fetch->is_running) {
        pthread_mutex_lock(&fetch->lock);
        fetch->ends = true;
        pthread_mutex_unlock(&fetch->lock);
        curl_multi_wakeup(fetch->multi);
        pthread_join(fetch->thread, NULL);
    }
    while ((job = take(&fetch->asked)) || (job = take(&fetch->done)))
        free_job(job);
    if (fetch->multi) {
        curl_multi_cleanup(fetch->multi);
        curl_global_cleanup();
    }
    X509_STORE_free(fetch->store);
    if (fetch->descriptor >= 0)
        close(fetch->descriptor);
    pthread_mutex_destroy(&fetch->lock);
    free(fetch);
}

void fetch_trust(struct fetch *fetch, struct slice authfile)
{
    pthread_mutex_lock(&fetch->lock);
    snprintf(fetch->authfile, sizeof fetch->authfile, "%.*s", (int)authfile.len, authfile.at);
    fetch->has_new_trust = true;
    pthread_mutex_unlock(&fetch->lock);
}

int fetch_descriptor(const struct fetch *fetch)
{
    return fetch->descriptor;
}

static bool start(struct fetch *fetch)
{
    int error = 0;

    if (fetch->is_running)
        return true;
    if (!fetch->multi && curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        fetch->multi = curl_multi_init();
    if (fetch->multi)
        error = pthread_create(&fetch->thread, NULL, run, fetch);
    fetch->is_running = fetch->multi && !error;
    if (!fetch->is_running)
        log_line(fetch->log, LOG_FAILURE, "certificates of other domains cannot be fetched: %s",
                 error ? strerror(error) : "libcurl has no memory");
    return fetch->is_running;
}

/* NULL if there is no memory: then the core's own patience ends it. */
static struct job *make_job(uint64_t question, enum seclusion widest, struct slice what)
{
    size_t end = slice_find(what, '\n');
    struct job *job = calloc(1, sizeof *job);

    assert(end < what.len);
    if (!job)
        return NULL;
    job->question = question;
    job->widest = widest;
    job->found.state = CERTIFICATE_UNREACHABLE;
    job->domain = strndup(what.at, end);
    job->uri = strndup(what.at + end + 1, what.len - end - 1);
    if (job->domain && job->uri)
        return job;
    free_job(job);
    return NULL;
}

void fetch_ask(struct fetch *fetch, uint64_t question, enum seclusion widest, struct slice what)
{
    struct job *job = start(fetch) ? make_job(question, widest, what) : NULL;

    if (!job)
        return;
    pthread_mutex_lock(&fetch->lock);
    put(&fetch->asked, job);
    pthread_mutex_unlock(&fetch->lock);
    curl_multi_wakeup(fetch->multi);
}

bool fetch_next(struct fetch *fetch, uint64_t *question, struct certificate *certificate)
{
    struct job *job;
    uint64_t count;

    pthread_mutex_lock(&fetch->lock);
    job = take(&fetch->done);
    pthread_mutex_unlock(&fetch->lock);
    if (!job) {
        (void)!read(fetch->descriptor, &count, sizeof count);
        return false;
    }
    *question = job->question;
    *certificate = job->found;
    free_job(job);
    return true;
}
