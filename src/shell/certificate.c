#include "shell/certificate.h"

#include "shell/subject.h"

#include <time.h>

void certificate_write_domains(const X509 *certificate, struct writer *w)
{
    struct subject subject;

    subject_read(&subject, certificate);
    if (subject_is_for_sip(certificate))
        identity_write(w, &subject.names);
    subject_free(&subject);
}

static bool wall_of(const ASN1_TIME *time, int64_t *wall)
{
    struct tm tm;

    if (ASN1_TIME_to_tm(time, &tm) != 1)
        return false;
    *wall = timegm(&tm);
    return true;
}

bool certificate_times(const X509 *certificate, int64_t *not_before, int64_t *not_after)
{
    return wall_of(X509_get0_notBefore(certificate), not_before) &&
           wall_of(X509_get0_notAfter(certificate), not_after);
}
