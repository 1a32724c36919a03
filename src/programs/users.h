/* `sipwitch user`: who there is, and changes of the database's users. */
#pragma once

#include "programs/session.h"

command_function change_users;
