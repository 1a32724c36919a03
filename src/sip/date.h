/* The Date header field (RFC 3261 20.17): a moment of wall time, always GMT (RFC 1123). */
#pragma once

#include "base/cursor.h"

/* "Thu, 01 Jan 1970 00:00:00 GMT"; years to 9999. */
void date_write(struct writer *w, int64_t wall);

/* False if it breaks the grammar, or there is no such day, or it has another name. */
bool date_parse(struct slice text, int64_t *wall);
