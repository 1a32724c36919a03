/* A line of the control protocol: read, or refused with a reason; never half of either. */
#include "fuzz.h"

#include "shell/order.h"

static void check_order(const struct order *order)
{
    const struct admin_request *request = &order->request;

    assert(order->held && request->client == 0 && request->cursor == 0);
    assert(request->user.len <= NAME_LIMIT && request->text.len <= ORDER_LIMIT);
    assert((order->kind == ORDER_CORE) == (request->command != ADMIN_NONE));
    if (request->command == ADMIN_ACTIVATE)
        assert(request->user.len && request->target.port);
    if (request->command == ADMIN_RELEASE || request->command == ADMIN_MESSAGE)
        assert(request->user.len && !memchr(request->user.at, '\0', request->user.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = fuzz_input(data, size < ORDER_LIMIT ? size : ORDER_LIMIT);
    struct order_fault fault = {NULL, ""};
    struct order order;

    if (order_read(line, &order, &fault)) {
        check_order(&order);
        order_free(&order);
    } else {
        assert(fault.code && fault.text[0] && memchr(fault.text, '\0', sizeof fault.text));
    }
    return 0;
}
