/* `sipwitch records`: the calls that are over. */
#pragma once

#include "programs/session.h"

command_function show_records;
