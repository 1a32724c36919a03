/*
 * Runs a fuzz target over the files of directories, so that every build tests what the fuzzer once
 * found: replay-TARGET DIRECTORY...
 */
#include "fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_LIMIT (1u << 20)

/* From a block of just that size on the heap, where a sanitizer sees a step too far. */
static void run_file(const char *path)
{
    static uint8_t bytes[FILE_LIMIT];
    FILE *stream = fopen(path, "rb");
    size_t len;
    uint8_t *copy;

    if (!stream) {
        perror(path);
        exit(2);
    }
    len = fread(bytes, 1, sizeof bytes, stream);
    fclose(stream);
    copy = malloc(len ? len : 1);
    if (!copy)
        abort();
    memcpy(copy, bytes, len);
    fprintf(stderr, "%s\n", path);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static unsigned run_directory(const char *name)
{
    DIR *directory = opendir(name);
    unsigned count = 0;
    struct dirent *entry;
    char path[1024];

    if (!directory) {
        perror(name);
        exit(2);
    }
    while ((entry = readdir(directory))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", name, entry->d_name);
        run_file(path);
        count++;
    }
    closedir(directory);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    for (int i = 1; i < argc; i++)
        count += run_directory(argv[i]);
    printf("%u inputs\n", count);
    return count ? 0 : 1;
}
