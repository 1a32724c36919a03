/* `sipwitch route`: where a call would go, and why. */
#pragma once

#include "programs/session.h"

/* CLIENT_FAULTY if it would be refused. */
enum client_status show_route(struct session *session, char **words);
