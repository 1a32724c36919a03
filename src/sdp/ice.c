#include "sdp/ice.h"

#include "sdp/line.h"

bool sdp_ice_is_concluded(const struct sdp *sdp)
{
    struct slice name, value;
    struct line line;
    size_t at = 0;

    while (line_next(sdp->bytes, &at, &line) == LINE_TAKEN) {
        if (line.type != 'a')
            continue;
        line_attribute(&line, &name, &value);
        if (line_ice(name) == ICE_REMOTE)
            return true;
    }
    return false;
}
