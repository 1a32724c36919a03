#include "shell/subject.h"

static struct slice text_of(const ASN1_STRING *string)
{
    return slice_of((const char *)ASN1_STRING_get0_data(string),
                    (size_t)ASN1_STRING_length(string));
}

static void add_name(struct certificate_names *names, const GENERAL_NAME *name)
{
    if (name->type == GEN_URI && names->uri_count < IDENTITY_NAMES)
        names->uris[names->uri_count++] = text_of(name->d.uniformResourceIdentifier);
    else if (name->type == GEN_DNS && names->host_count < IDENTITY_NAMES)
        names->hosts[names->host_count++] = text_of(name->d.dNSName);
}

static struct slice common_name(const X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    return at < 0 ? NO_SLICE : text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

void subject_read(struct subject *subject, const X509 *certificate)
{
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    *subject = (struct subject){.alternatives = alternatives};
    subject->names.has_alternatives = alternatives != NULL;
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives); i++)
        add_name(&subject->names, sk_GENERAL_NAME_value(alternatives, i));
    subject->names.common = common_name(certificate);
}

void subject_free(struct subject *subject)
{
    GENERAL_NAMES_free(subject->alternatives);
}

bool subject_is_for_sip(const X509 *certificate)
{
    EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(certificate, NID_ext_key_usage, NULL, NULL);
    bool ok = !usage;

    for (int i = 0; i < sk_ASN1_OBJECT_num(usage); i++) {
        const ASN1_OBJECT *purpose = sk_ASN1_OBJECT_value(usage, i);
        char text[32];
        int nid = OBJ_obj2nid(purpose);
        OBJ_obj2txt(text, sizeof text, purpose, 1);
        ok |= nid == NID_server_auth || nid == NID_client_auth || nid == NID_anyExtendedKeyUsage ||
              strcmp(text, "1.3.6.1.5.5.7.3.20") == 0; /* id-kp-sipDomain */
    }
    EXTENDED_KEY_USAGE_free(usage);
    return ok;
}
