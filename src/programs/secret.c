#include "programs/secret.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* The first line of a descriptor, byte by byte: what follows is left to others. */
static const char *read_line(int fd, char secret[SECRET_LIMIT])
{
    size_t len = 0;
    ssize_t got;

    while (len < SECRET_LIMIT && (got = read(fd, secret + len, 1)) == 1 && secret[len] != '\n')
        len++;
    if (len == SECRET_LIMIT)
        return "the password is longer than 255 bytes";
    if (len && secret[len - 1] == '\r')
        len--;
    secret[len] = '\0';
    return len ? NULL : "no password was given";
}

static const char *ask_once(int terminal, const char *prompt, char secret[SECRET_LIMIT])
{
    struct termios before, silent;

    if (tcgetattr(terminal, &before) < 0)
        return "the terminal cannot hide a password: use --stdin";
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    if (write(terminal, prompt, strlen(prompt)) < 0 || tcsetattr(terminal, TCSAFLUSH, &silent) < 0)
        return "the terminal cannot hide a password: use --stdin";
    const char *why = read_line(terminal, secret);
    tcsetattr(terminal, TCSAFLUSH, &before);
    if (write(terminal, "\n", 1) < 0)
        return "the terminal is gone";
    return why;
}

const char *secret_ask(const char *user, char secret[SECRET_LIMIT])
{
    char prompt[128], again[SECRET_LIMIT];
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);

    if (terminal < 0)
        return "there is no terminal to ask at: use --stdin";
    snprintf(prompt, sizeof prompt, "New SIP password for %.64s: ", user);
    const char *why = ask_once(terminal, prompt, secret);
    if (!why)
        why = ask_once(terminal, "The same again: ", again);
    if (!why && strcmp(secret, again) != 0)
        why = "the two differ; nothing was changed";
    explicit_bzero(again, sizeof again);
    if (why)
        explicit_bzero(secret, SECRET_LIMIT);
    close(terminal);
    return why;
}

const char *secret_read(char secret[SECRET_LIMIT])
{
    return read_line(STDIN_FILENO, secret);
}
