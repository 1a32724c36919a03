/* Where the administrator wrote something, so that an answer can name it. */
#pragma once

#include "base/base.h"

#define WRITTEN_FILES 4095u            /* that can be named */
#define WRITTEN_LINES ((1u << 20) - 1) /* of one of them */

/* A file by its number in settings.files, from 1, and a line; both 0: it is not known, or nowhere.
 */
struct written {
    uint32_t file : 12;
    uint32_t line : 20;
};
