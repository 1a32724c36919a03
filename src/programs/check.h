/*
 * `sipwitch check`: whether the server answers, and what the world sees of a domain: its records in
 * DNS, and whether a SIP server is where they say.
 *
 * Every finding is one line in plain words; a fault has a second one, that says what to do.
 */
#pragma once

#include "programs/session.h"

enum client_status check(struct session *session, char **words);
