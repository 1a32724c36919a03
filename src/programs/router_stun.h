/* Asking a STUN server under which address it sees us: the Binding request and its answer (RFC
 * 8489).  Bytes only. */
#pragma once

#include "base/address.h"

#define STUN_PORT 3478u
#define STUN_ID 12u /* bytes of what tells its answer from others */

void stun_write(struct writer *w, const uint8_t id[STUN_ID]);

/* The address in the answer to the request with that id; false if it is none, or has none. */
bool stun_read(struct slice packet, const uint8_t id[STUN_ID], struct address_bytes *address);
