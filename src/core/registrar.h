/* The registrar (RFC 3261 10.3): REGISTER of an authenticated user. */
#pragma once

#include "core/request.h"

/* Answers it; req->sender is who sends it. */
void registrar_register(struct core *core, struct request *req, struct actions *out);
