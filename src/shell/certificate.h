/* What an X.509 certificate says: the SIP domains that it may speak for, and until when. */
#pragma once

#include "base/cursor.h"

#include <openssl/x509.h>

/* Writes the domains that it names (core/identity.h), a line each; none if its purposes are others
 * than SIP and TLS. */
void certificate_write_domains(const X509 *certificate, struct writer *w);

/* Its first and last second of validity, in wall time; false if it has none that make sense. */
bool certificate_times(const X509 *certificate, int64_t *not_before, int64_t *not_after);
