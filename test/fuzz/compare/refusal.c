#include "refusal.h"

#include "sip/message.h"

#include <regex.h>
#include <stdio.h>

/* The grammar of 25.1 (of addresses RFC 5954, of ports RFC 768) as regular expressions, which know
 * nothing of our parser. */
#define TOKEN "[A-Za-z0-9.!%*_+`'~-]+"
#define LWS "(([ \t]*\r\n)?[ \t]+)"
#define SWS LWS "?"
#define ESCAPE "%[0-9A-Fa-f][0-9A-Fa-f]"
#define USER "([A-Za-z0-9_.!~*'()&=+$,;?/-]|" ESCAPE ")+"
#define BARE_USER "([A-Za-z0-9_.!~*'()&=+$/-]|" ESCAPE ")+"
#define PASSWORD "(:([A-Za-z0-9_.!~*'()&=+$,-]|" ESCAPE ")*)?"
#define LABEL "[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
#define TOP_LABEL "[A-Za-z]([A-Za-z0-9-]*[A-Za-z0-9])?"
#define OCTET "([1-9]?[0-9]|1[0-9][0-9]|2[0-4][0-9]|25[0-5])"
#define IPV4 OCTET "([.]" OCTET "){3}"
#define PORT                                                                                       \
    "0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6([0-4][0-9]{3}|5([0-4][0-9]{2}|5([0-2][0-9]|3[0-5]))))"
#define H16 "[0-9A-Fa-f]{1,4}"
#define LS32 "(" H16 ":" H16 "|" IPV4 ")"
#define IPV6                                                                                       \
    "("                                                                                            \
    "(" H16 ":){6}" LS32 "|::(" H16 ":){5}" LS32 "|(" H16 ")?::(" H16 ":){4}" LS32 "|((" H16       \
    ":)?" H16 ")?::(" H16 ":){3}" LS32 "|((" H16 ":){0,2}" H16 ")?::(" H16 ":){2}" LS32 "|((" H16  \
    ":){0,3}" H16 ")?::" H16 ":" LS32 "|((" H16 ":){0,4}" H16 ")?::" LS32 "|((" H16 ":){0,5}" H16  \
    ")?::" H16 "|((" H16 ":){0,6}" H16 ")?::"                                                      \
    ")"
#define HOST "((" LABEL "[.])*" TOP_LABEL "[.]?|" IPV4 "|\\[" IPV6 "\\])"
#define HOST_PORT HOST "(:" PORT ")?"
#define PARAM_CHAR "([][A-Za-z0-9_.!~*'()/:&+$-]|" ESCAPE ")"
#define HEADER_CHAR "([][A-Za-z0-9_.!~*'()/?:+$-]|" ESCAPE ")"
#define URI_HEADER HEADER_CHAR "+=" HEADER_CHAR "*"
#define SCHEME "[Ss][Ii][Pp][Ss]?:"
#define SIP_URI                                                                                    \
    SCHEME "(" USER PASSWORD "@)?" HOST_PORT "(;" PARAM_CHAR "+(=" PARAM_CHAR                      \
           "+)?)*([?]" URI_HEADER "(&" URI_HEADER ")*)?"
#define OTHER_URI "(tel|http|https|mailto|urn|im|pres):([A-Za-z0-9_.!~*'();/?:@&=+$,-]|" ESCAPE ")+"
#define URI "(" SIP_URI "|" OTHER_URI ")"
#define QUOTED "\"([^\"\\\x01-\x1f\x7f]|" LWS "|\\\\[\x01-\x09\x0b\x0c\x0e-\x7f])*\""
#define EQUAL SWS "=" SWS
#define VALUE "(" TOKEN "|" HOST "|" QUOTED ")"
#define PARAMS "(" SWS ";" SWS TOKEN "(" EQUAL VALUE ")?)*"
#define ADDRESS                                                                                    \
    "(("                                                                                           \
    "(" TOKEN SWS ")*|" QUOTED SWS ")<" URI ">|" SCHEME "(" BARE_USER PASSWORD "@)?" HOST_PORT     \
    ")" PARAMS
#define ADDRESSES ADDRESS "(" SWS "," SWS ADDRESS ")*"
/* Those that we read have their own form; no other in the messages begins like them. */
#define VIA_PARAMS                                                                                 \
    "(" SWS ";" SWS "(branch" EQUAL TOKEN "|received" EQUAL "(" IPV4 "|" IPV6 "|\\[" IPV6 "\\])|"  \
    "rport(" EQUAL "(" PORT ")?)?|[AC-QS-Z0-9.!%*_+`'~-]" TOKEN "?(" EQUAL VALUE ")?))*"
#define VIA TOKEN SWS "/" SWS TOKEN SWS "/" SWS TOKEN LWS HOST "(" SWS ":" SWS PORT ")?" VIA_PARAMS
#define TWICE(name) ";[ \t\r\n]*" name "[^,]*;[ \t\r\n]*" name
#define FIELD TOKEN "[ \t]*:([^\r\n]|\r\n[ \t])*\r\n"

/* What was refused is not that, or has that in it. */
enum sign {
    ALWAYS,
    IS_NOT,
    HAS,
};

/* clang-format off */
static struct known_refusal {
    const char *refusal;
    enum sign sign;
    const char *expression;
    const char *reason;
    unsigned count;
    bool is_compiled;
    regex_t compiled;
} known[] = {
    {.refusal = "CSeq Method Differs", ALWAYS, NULL, "8.1.1.5"},
    {.refusal = "Content-Length Exceeds Message", ALWAYS, NULL, "18.3"},
    {.refusal = "Version Not Supported", IS_NOT, ".* [Ss][Ii][Pp]/2[.]0", "7.1"},
    {.refusal = "Bad Start Line", IS_NOT,
     TOKEN " [^ ]+ [Ss][Ii][Pp]/[0-9]+[.][0-9]+|SIP/2[.]0 [1-6][0-9][0-9] [^\r\n]*", "7.1, 7.2"},
    {.refusal = "Malformed Header Field", IS_NOT, "(" FIELD ")*", "7.3.1"},
    {.refusal = "Bad CSeq", IS_NOT,
     "0*([0-9]{1,9}|1[0-9]{9}|20[0-9]{8}|21[0-3][0-9]{7})" LWS TOKEN, "20.16; 8.1.1.5: less than 2**31"},
    {.refusal = "Bad Max-Forwards", IS_NOT, "0*([0-9]{1,2}|1[0-9]{2}|2[0-4][0-9]|25[0-5])", "20.22"},
    {.refusal = "Bad Request-URI", IS_NOT, URI, "25.1"},
    {.refusal = "Bad Via", IS_NOT, VIA "(" SWS "," SWS VIA ")*", "25.1"},
    {.refusal = "Bad Via", HAS, TWICE("branch") "|" TWICE("received") "|" TWICE("rport"), "7.3.1: whose counts?"},
    {.refusal = "Bad From", IS_NOT, ADDRESS, "25.1"},
    {.refusal = "Bad From", HAS, TWICE("tag"), "7.3.1: whose counts?"},
    {.refusal = "Bad To", IS_NOT, ADDRESS, "25.1"},
    {.refusal = "Bad To", HAS, TWICE("tag"), "7.3.1: whose counts?"},
    {.refusal = "Bad Contact", IS_NOT, ADDRESSES, "25.1"},
    {.refusal = "Bad Route", IS_NOT, ADDRESSES, "25.1"},
    {.refusal = "Bad Record-Route", IS_NOT, ADDRESSES, "25.1"},
};
/* clang-format on */

static bool fits(struct known_refusal *one, const char *text)
{
    char whole[16384];

    if (one->sign == ALWAYS)
        return true;
    if (!one->is_compiled) {
        snprintf(whole, sizeof whole, one->sign == HAS ? "%s" : "^(%s)$", one->expression);
        one->is_compiled =
            regcomp(&one->compiled, whole, REG_EXTENDED | REG_NOSUB | REG_ICASE) == 0;
        assert(one->is_compiled);
    }
    return (regexec(&one->compiled, text, 0, NULL, 0) == 0) == (one->sign == HAS);
}

bool refusal_is_known(const struct reading *ours)
{
    static char text[MESSAGE_LIMIT + 1];

    memcpy(text, ours->refused.at, ours->refused.len);
    text[ours->refused.len] = '\0';
    for (unsigned i = 0; i < COUNT_OF(known); i++) {
        if (strcmp(known[i].refusal, ours->refusal) == 0 && fits(&known[i], text)) {
            known[i].count++;
            return true;
        }
    }
    return false;
}

void refusal_print(void)
{
    for (unsigned i = 0; i < COUNT_OF(known); i++)
        printf("accepted by both others: %6u %s (%s)\n", known[i].count, known[i].refusal,
               known[i].reason);
}
