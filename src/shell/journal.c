#include "shell/journal.h"

#include "shell/file.h"
#include "shell/state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX "journal."
#define SPARE "journal.spare"
#define MAGIC "SIPWJRN"         /* of all versions; the version's digit follows */
#define SEGMENTS_APART 1000000u /* more between the oldest and the newest: not our doing */
#define SEGMENT_FILE_LIMIT (UINT64_C(1) << 36)

struct segment_name {
    char text[32];
};

static struct segment_name name_of(uint64_t order)
{
    struct segment_name name;

    snprintf(name.text, sizeof name.text, PREFIX "%llu", (unsigned long long)order);
    return name;
}

static bool order_of(const char *name, uint64_t *order)
{
    struct slice text = slice_text(name);

    return slice_starts(text, S(PREFIX)) &&
           slice_number(slice_from(text, strlen(PREFIX)), UINT64_MAX - 1, order);
}

enum header_state { HEADER_GOOD, HEADER_TORN, HEADER_NEWER, HEADER_DAMAGED };

static enum header_state header_state_of(struct slice head, uint64_t named)
{
    static const char nothing[SEGMENT_HEADER];
    uint64_t epoch, order;

    /* Torn: it was made, perhaps of a spare, when the power went, and its header did not come to
     * the disk. */
    if (segment_open(head, &epoch, &order))
        return order == named ? HEADER_GOOD : order < named ? HEADER_TORN : HEADER_DAMAGED;
    if (head.len < SEGMENT_HEADER || memcmp(head.at, nothing, SEGMENT_HEADER) == 0)
        return HEADER_TORN;
    size_t version = strlen(MAGIC);
    if (slice_starts(head, S(MAGIC)) && head.at[version] > '1' && head.at[version] <= '9')
        return HEADER_NEWER;
    return HEADER_DAMAGED;
}

static bool check_segment(struct journal *journal, uint64_t order, struct log *log)
{
    struct segment_name name = name_of(order);
    char head[SEGMENT_HEADER];
    int fd = openat(journal->folder, name.text, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
    int error = errno;

    if (fd >= 0)
        close(fd);
    if (len < 0) {
        log_line(log, LOG_FAILURE, "%s/%s cannot be read: %s", journal->path, name.text,
                 strerror(error));
        return false;
    }
    switch (header_state_of(slice_of(head, (size_t)len), order)) {
    case HEADER_GOOD: return true;
    case HEADER_TORN:
        log_line(log, LOG_WARNING, "%s/%s was never written: a power cut, perhaps; it is ignored",
                 journal->path, name.text);
        return true;
    case HEADER_NEWER:
        log_line(log, LOG_FAILURE,
                 "%s/%s was written by a newer sipw: start that one; the file is kept",
                 journal->path, name.text);
        return false;
    case HEADER_DAMAGED: break;
    }
    log_line(log, LOG_FAILURE,
             "%s/%s is damaged: put it back from a backup, or move it away to start without what "
             "it holds; the file is kept",
             journal->path, name.text);
    return false;
}

static bool find_segments(struct journal *journal, struct log *log)
{
    int copy = openat(journal->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);
    bool ok = list != NULL;
    uint64_t order;

    if (!list)
        log_line(log, LOG_FAILURE, "%s cannot be listed: %s", journal->path, strerror(errno));
    for (struct dirent *entry = NULL; ok && (entry = readdir(list));) {
        journal->has_spare |= strcmp(entry->d_name, SPARE) == 0;
        if (!order_of(entry->d_name, &order))
            continue;
        ok = check_segment(journal, order, log);
        journal->oldest = min_u64(journal->oldest, order);
        journal->newest = max_u64(journal->newest, order);
    }
    if (list)
        closedir(list);
    if (ok && journal->newest > journal->oldest + SEGMENTS_APART) {
        log_line(log, LOG_FAILURE, "%s/%s does not belong here: move it away", journal->path,
                 name_of(journal->newest).text);
        return false;
    }
    return ok;
}

bool journal_open(struct journal *journal, int folder, const char *path, struct log *log)
{
    *journal = (struct journal){
        .path = path, .folder = folder, .file = -1, .limit = SEGMENT_BYTES, .oldest = UINT64_MAX};
    pthread_mutex_init(&journal->mutex, NULL);
    if (!find_segments(journal, log)) {
        journal_close(journal);
        return false;
    }
    if (journal->oldest == UINT64_MAX)
        journal->oldest = 1;
    journal->order = journal->found = journal->newest;
    journal->synced_before = journal->oldest;
    return true;
}

void journal_close(struct journal *journal)
{
    if (journal->file >= 0)
        close(journal->file);
    pthread_mutex_destroy(&journal->mutex);
}

bool journal_next(const struct journal *journal, uint64_t *order, struct slice *file,
                  uint64_t *epoch, int *error)
{
    uint64_t next = max_u64(*order + 1, journal->oldest), found;

    for (*error = 0; next <= journal->found; next++) {
        *error = file_read_while(journal->folder, name_of(next).text, SEGMENT_FILE_LIMIT,
                                 segment_goes_on, SEGMENT_HEADER, file);
        if (*error == -ENOENT) {
            *error = 0;
            continue;
        }
        if (*error)
            return false;
        *order = next;
        if (segment_open(*file, epoch, &found) && found == next)
            return true;
        free((void *)(uintptr_t)file->at); /* torn */
    }
    return false;
}

/* The name comes last: a file of that name has its header, as far as a kill can tell. */
static int make_segment(struct journal *journal, uint64_t order, struct slice header, bool spare)
{
    static const char fresh[] = "journal.new";
    const char *from = spare ? SPARE : fresh;
    int flags = spare ? O_WRONLY | O_CLOEXEC : O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    int fd = openat(journal->folder, from, flags, 0600);

    if (fd < 0)
        return -errno;
    int error = 0;
    if (fallocate(fd, 0, 0, (off_t)journal->limit) < 0 && errno != EOPNOTSUPP)
        error = -errno;
    if (!error)
        error = file_write_at(fd, header, 0);
    if (!error && renameat(journal->folder, from, journal->folder, name_of(order).text) < 0)
        error = -errno;
    if (!error)
        return fd;
    close(fd);
    if (!spare)
        unlinkat(journal->folder, fresh, 0);
    return error;
}

int journal_begin(struct journal *journal)
{
    char bytes[SEGMENT_HEADER];
    struct writer header = writer_over(bytes, sizeof bytes);
    uint64_t order = journal->order + 1, epoch;

    random_fill(&epoch, sizeof epoch);
    segment_begin(&header, epoch, order);
    pthread_mutex_lock(&journal->mutex);
    bool spare = journal->has_spare;
    journal->has_spare = false;
    pthread_mutex_unlock(&journal->mutex);

    int fd = make_segment(journal, order, writer_slice(&header), spare);
    if (fd == -ENOENT && spare)
        fd = make_segment(journal, order, writer_slice(&header), false);
    pthread_mutex_lock(&journal->mutex);
    if (fd >= 0) {
        journal->newest = order;
        journal->written += header.len;
    } else {
        journal->has_spare = spare;
    }
    pthread_mutex_unlock(&journal->mutex);
    if (fd < 0)
        return fd;
    if (journal->file >= 0)
        close(journal->file);
    journal->file = fd;
    journal->order = order;
    journal->epoch = epoch;
    journal->used = header.len;
    journal->is_checkpointed = false;
    return 0;
}

bool journal_is_full(const struct journal *journal)
{
    return journal->is_checkpointed && journal->used >= journal->limit;
}

int journal_append(struct journal *journal, struct slice records)
{
    int error = file_write_at(journal->file, records, journal->used);

    if (error)
        return error;
    journal->used += records.len;
    pthread_mutex_lock(&journal->mutex);
    journal->written += records.len;
    pthread_mutex_unlock(&journal->mutex);
    return 0;
}

void journal_checkpointed(struct journal *journal)
{
    journal->is_checkpointed = true;
    journal->limit = max_u64(SEGMENT_BYTES, 2 * journal->used);
    pthread_mutex_lock(&journal->mutex);
    journal->retire_before = journal->order;
    pthread_mutex_unlock(&journal->mutex);
}

static int sync_segment(struct journal *journal, uint64_t order)
{
    int fd = openat(journal->folder, name_of(order).text, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int error = fdatasync(fd) < 0 ? -errno : 0;
    close(fd);
    return error;
}

/* Under this name its records are never read again. */
static bool make_spare(struct journal *journal, uint64_t order)
{
    return renameat(journal->folder, name_of(order).text, journal->folder, SPARE) == 0;
}

static void retire(struct journal *journal, uint64_t before)
{
    for (; journal->oldest < before; journal->oldest++) {
        pthread_mutex_lock(&journal->mutex);
        bool spare = journal->has_spare;
        pthread_mutex_unlock(&journal->mutex);
        if (spare || !make_spare(journal, journal->oldest)) {
            unlinkat(journal->folder, name_of(journal->oldest).text, 0);
            continue;
        }
        pthread_mutex_lock(&journal->mutex);
        journal->has_spare = true;
        pthread_mutex_unlock(&journal->mutex);
    }
}

int journal_sync(struct journal *journal)
{
    pthread_mutex_lock(&journal->mutex);
    uint64_t written = journal->written, newest = journal->newest;
    uint64_t retire_before = journal->retire_before;
    pthread_mutex_unlock(&journal->mutex);

    if (written == journal->synced && retire_before <= journal->oldest)
        return 0;
    for (uint64_t order = journal->synced_before; order <= newest; order++) {
        int error = sync_segment(journal, order);

        if (error)
            return error;
    }
    if (fsync(journal->folder) < 0)
        return -errno;
    journal->synced = written;
    journal->synced_before = newest;
    retire(journal, retire_before);
    return 0;
}
