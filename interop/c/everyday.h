// What the parts of the everyday calls of the C client share.
#pragma once
#include <nats/nats.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// How long a thing that must come may take on a slow machine, in milliseconds.
#define PATIENCE 20000

// Prints a line for an answer.
void show(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Prints the error that a call ends with, and the code of the JetStream API if it takes `&code`.
void show_error(const char *name, natsStatus status, jsErrCode code);
#define refused(name, call)                       \
    do {                                          \
        jsErrCode code = 0;                       \
        natsStatus refused_with = (call);         \
        show_error((name), refused_with, code);   \
    } while (0)

// Ends the program unless the call succeeded.
void check_at(natsStatus status, const char *call);
#define check(call) check_at((call), #call)

// Waits until something holds.
#define until(condition)                                                                   \
    do {                                                                                   \
        for (int tries = 0; !(condition); tries++) {                                       \
            if (tries > PATIENCE / 5) check_at(NATS_TIMEOUT, #condition);                  \
            nats_Sleep(5);                                                                 \
        }                                                                                  \
    } while (0)

natsConnection *open_with(natsOptions *options);
natsConnection *open_plain(void);

// The next message of a subscription.
natsMsg *next(natsSubscription *sub);

// Receives `count` messages and prints their texts in one line.
void show_next(const char *name, natsSubscription *sub, int count);

void core(void);
void login(void);
void jetstream(void);
void buckets(void);
void restarted(void);
