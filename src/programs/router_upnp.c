#include "programs/router_upnp.h"

#include "programs/router_portmap.h"

#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <stdio.h>
#include <stdlib.h>

#define SEARCH_PATIENCE 2000 /* ms: routers answer within the second that they are told (MX 1) */
#define SEARCH_HOPS 2
#define CONNECTED 1 /* UPNP_GetValidIGD found one that has a connection */
#define UPNP_NO_SUCH_ENTRY 714
#define UPNP_CONFLICT 718
#define UPNP_SAME_PORTS 724
#define UPNP_ONLY_PERMANENT 725
#define WHAT "SIP Witch"

struct upnp {
    struct UPNPUrls urls;
    struct IGDdatas data;
    char own[64];
    bool is_permanent; /* it knows no mappings that end by themselves */
};

static bool choose(struct upnp *upnp, struct UPNPDev *devices)
{
#if MINIUPNPC_API_VERSION >= 18
    char outside[64];

    return UPNP_GetValidIGD(devices, &upnp->urls, &upnp->data, upnp->own, sizeof upnp->own, outside,
                            sizeof outside) == CONNECTED;
#else
    return UPNP_GetValidIGD(devices, &upnp->urls, &upnp->data, upnp->own, sizeof upnp->own) ==
           CONNECTED;
#endif
}

struct upnp *upnp_find(const char *own)
{
    struct upnp *upnp = calloc(1, sizeof *upnp);
    struct UPNPDev *devices;
    bool has_one;
    int error = 0;

    if (!upnp)
        return NULL;
    devices = upnpDiscover(SEARCH_PATIENCE, own, NULL, UPNP_LOCAL_PORT_ANY, 0, SEARCH_HOPS, &error);
    has_one = devices && choose(upnp, devices);
    freeUPNPDevlist(devices);
    if (has_one)
        return upnp;
    upnp_free(upnp);
    return NULL;
}

void upnp_free(struct upnp *upnp)
{
    if (!upnp)
        return;
    FreeUPNPUrls(&upnp->urls);
    free(upnp);
}

bool upnp_address(struct upnp *upnp, struct address_bytes *address)
{
    char text[64] = "";

    return UPNP_GetExternalIPAddress(upnp->urls.controlURL, upnp->data.first.servicetype, text) ==
               UPNPCOMMAND_SUCCESS &&
           host_numeric(slice_text(text), address) && !address->is_v6 &&
           !address_is_unspecified(address);
}

static const char *name_of(unsigned protocol)
{
    return protocol == PORTMAP_TCP ? "TCP" : "UDP";
}

static int add(struct upnp *upnp, unsigned protocol, const char *port, uint32_t seconds)
{
    char lease[16];

    snprintf(lease, sizeof lease, "%u", upnp->is_permanent ? 0 : seconds);
    return UPNP_AddPortMapping(upnp->urls.controlURL, upnp->data.first.servicetype, port, port,
                               upnp->own, WHAT, name_of(protocol), NULL, lease);
}

int upnp_forward(struct upnp *upnp, unsigned protocol, unsigned port, uint32_t seconds)
{
    char text[8];
    int error;

    snprintf(text, sizeof text, "%u", port);
    if (!seconds)
        return UPNP_DeletePortMapping(upnp->urls.controlURL, upnp->data.first.servicetype, text,
                                      name_of(protocol), NULL);
    error = add(upnp, protocol, text, seconds);
    if (error == UPNP_ONLY_PERMANENT && !upnp->is_permanent) {
        upnp->is_permanent = true;
        error = add(upnp, protocol, text, seconds);
    }
    return error;
}

int upnp_has(struct upnp *upnp, unsigned protocol, unsigned port)
{
    char text[8], client[64] = "", inside[8] = "", what[80] = "", enabled[8] = "", left[16] = "";
    int error;

    snprintf(text, sizeof text, "%u", port);
    error = UPNP_GetSpecificPortMappingEntry(upnp->urls.controlURL, upnp->data.first.servicetype,
                                             text, name_of(protocol), NULL, client, inside, what,
                                             enabled, left);
    if (error == UPNP_NO_SUCH_ENTRY)
        return 0;
    if (error)
        return error < 0 ? error : 1; /* it may not say, though it is there */
    return slice_equal(slice_text(client), slice_text(upnp->own));
}

const char *upnp_why(int error)
{
    switch (error) {
    case UPNP_CONFLICT: return "another machine has that port";
    case UPNP_SAME_PORTS: return "it forwards under other numbers only";
    case 606: /* of the device's architecture, too: not authorized */
    case 403: return "it forwards for nobody, or not for this machine";
    case 728: return "it has no room for more";
    default: return error < 0 ? "it does not answer" : "it does not say why";
    }
}
