/* What the kernel tells of links, addresses and routes (rtnetlink(7)), which needs no privilege. */
#pragma once

#include <stdbool.h>

/* A socket that hears of these groups, RTMGRP_..., and then does not block; of none, one to ask by.
 * -1, and errno. */
int netlink_open(unsigned groups);

/* Takes all that it has heard: what it was does not matter, nor that some was lost.  False if there
 * was nothing. */
bool netlink_hear(int descriptor);
