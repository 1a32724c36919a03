#include "core/dialplan.h"

#define DIGITS_LIMIT 64u /* longer numbers match nothing */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits of a number: a leading +, blanks and commas do not count, a `!` ends it.  False if it
 * is no number. */
static bool read_digits(struct slice number, char *digits, size_t *count)
{
    size_t i = number.len && number.at[0] == '+' ? 1 : 0;

    *count = 0;
    for (; i < number.len && number.at[i] != '!'; i++) {
        char c = number.at[i];

        if (c == ' ' || c == ',')
            continue;
        if ((!is_digit(c) && c != '*' && c != '#') || *count == DIGITS_LIMIT)
            return false;
        digits[(*count)++] = c;
    }
    return *count > 0;
}

static bool symbol_takes(char symbol, char digit)
{
    switch (ascii_lower(symbol)) {
    case 'x': return is_digit(digit);
    case 'n': return digit >= '2' && digit <= '9';
    case 'z': return digit >= '1' && digit <= '9';
    case '?': return true;
    default: return symbol == digit;
    }
}

/* The digits begin with the pattern, or are all of it. */
static bool digits_match(struct slice pattern, struct slice digits, bool is_whole)
{
    size_t at = 0;

    for (size_t i = 0; i < pattern.len; i++) {
        if (ascii_lower(pattern.at[i]) == 'o') {
            at += at < digits.len && digits.at[at] == '1';
            continue;
        }
        if (at == digits.len || !symbol_takes(pattern.at[i], digits.at[at]))
            return false;
        at++;
    }
    return !is_whole || at == digits.len;
}

bool pattern_matches(struct slice pattern, struct slice number)
{
    char digits[DIGITS_LIMIT];
    size_t count;
    bool is_whole = pattern.len && pattern.at[pattern.len - 1] == '!';

    if (!pattern.len)
        return false;
    if (!read_digits(number, digits, &count))
        return slice_equal_nocase(pattern, number);
    if (is_whole)
        pattern.len--;
    if (pattern.len && pattern.at[0] == '+') {
        pattern = slice_from(pattern, 1);
        for (size_t start = 0; start <= count; start++)
            if (digits_match(pattern, slice_of(digits + start, count - start), true))
                return true;
        return false;
    }
    return digits_match(pattern, slice_of(digits, count), is_whole);
}

static bool slice_ends(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len && slice_equal(slice_from(s, s.len - suffix.len), suffix);
}

void affix_write(struct writer *w, const struct affix *affix, struct slice number)
{
    struct slice prefix = affix->prefix, suffix = affix->suffix;
    bool strips_prefix = prefix.len && prefix.at[0] == '-';
    bool strips_suffix = suffix.len && suffix.at[0] == '-';

    if (strips_prefix && slice_starts(number, slice_from(prefix, 1)))
        number = slice_from(number, prefix.len - 1);
    if (!strips_prefix && !slice_starts(number, prefix))
        write_slice(w, prefix);
    if (strips_suffix && slice_ends(number, slice_from(suffix, 1)))
        number = slice_until(number, number.len - (suffix.len - 1));
    write_slice(w, number);
    if (!strips_suffix && !slice_ends(number, suffix))
        write_slice(w, suffix);
}

const struct route *dialplan_route(const struct dialplan *plan, struct slice number, unsigned level,
                                   unsigned *position)
{
    for (; *position < plan->route_count; ++*position) {
        const struct route *route = &plan->routes[*position];

        if (route->priority < level && pattern_matches(route->pattern, number)) {
            ++*position;
            return route;
        }
    }
    return NULL;
}

const struct rule *dialplan_rule(const struct dialplan *plan, struct slice number, bool may_rewrite)
{
    for (unsigned i = 0; i < plan->rule_count; i++) {
        const struct rule *rule = &plan->rules[i];

        if (rule->kind == RULE_REWRITE && !may_rewrite)
            continue;
        if (rule->pattern.len ? pattern_matches(rule->pattern, number)
                              : slice_equal_nocase(rule->identity, number))
            return rule;
    }
    return NULL;
}
