/* A directory of its own for each test. */
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct folder {
    char path[64];
    int fd;
};

static inline struct folder folder_make(void)
{
    struct folder folder = {.path = "/tmp/sipwitch-unit-XXXXXX", .fd = -1};

    if (mkdtemp(folder.path))
        folder.fd = open(folder.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder;
}

static inline void folder_remove(struct folder *folder)
{
    DIR *list = fdopendir(folder->fd);

    for (struct dirent *entry = NULL; list && (entry = readdir(list));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(folder->fd, entry->d_name, 0);
    if (list)
        closedir(list);
    rmdir(folder->path);
}
