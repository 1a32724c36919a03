/*
 * Whose web pages may open WebSockets (RFC 6454, RFC 6455 10.2): a browser says from where the page
 * came, and asks for any page there is.
 */
#pragma once

#include "core/settings.h"

/* A page of this domain: its host is one of our names, or under the realm; or one that the settings
 * name.  Who says no origin (at == NULL) is no page. */
bool origin_is_allowed(const struct settings *settings, struct slice origin);
