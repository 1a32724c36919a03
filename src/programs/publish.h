/*
 * `sipwitch dns`: the records by which others find this server (RFC 3263), as a zone file; or, with
 * a key, written into the zone by nsupdate (RFC 2136, TSIG: RFC 8945).
 */
#pragma once

#include "programs/session.h"

#define PUBLISH_ADDRESSES 8u /* of one server */

/* The words are the addresses that the world reaches the server by, in place of those that it
 * listens on. */
enum client_status publish(struct session *session, char **words);
