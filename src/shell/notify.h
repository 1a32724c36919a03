/* Telling the service manager how we are (sd_notify(3)), where there is one. */
#pragma once

/* For example "READY=1".  Without NOTIFY_SOCKET nothing happens. */
void notify_manager(const char *state);
