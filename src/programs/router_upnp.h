/*
 * A router that speaks UPnP (Internet Gateway Device), by libminiupnpc.  Each of these takes as
 * long as the router does, some seconds at most.
 */
#pragma once

#include "base/address.h"

struct upnp;

/* Looks for one in the network of this address of ours (a text, or NULL); NULL if none answers. */
struct upnp *upnp_find(const char *own);
void upnp_free(struct upnp *upnp);

/* Its address outside; false if it does not say. */
bool upnp_address(struct upnp *upnp, struct address_bytes *address);

/* Has a port forwarded to us, under the same number; 0, or UPnP's error (UPNP_CONFLICT, ...), or a
 * negative one where it does not answer.  To end it, `seconds` is 0. */
int upnp_forward(struct upnp *upnp, unsigned protocol, unsigned port, uint32_t seconds);

/* A port is forwarded to us; if not, it has forgotten that.  Negative if it does not answer. */
int upnp_has(struct upnp *upnp, unsigned protocol, unsigned port);

const char *upnp_why(int error);
