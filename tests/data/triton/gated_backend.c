/* A backend for Triton that computes nothing and loads a model once the file in GATED_BACKEND_GATE exists; a file
   with an f in it makes loading fail. It lets a test start the real Triton without a machine-learning library: what
   is under test is what the server says of a model. The two functions are declared as Triton's headers have them, but
   for the types of the pointers. */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { INTERNAL = 1, LONGEST_WAIT = 120 * 50 };

void *TRITONSERVER_ErrorNew(int code, const char *message);

void *TRITONBACKEND_ModelInitialize(void *model)
{
    const char *path = getenv("GATED_BACKEND_GATE");
    FILE *gate = NULL;
    (void)model;
    for (int looks = 0; path && looks < LONGEST_WAIT && !(gate = fopen(path, "r")); looks++)
        usleep(20000);
    int first = gate ? fgetc(gate) : EOF;
    if (gate)
        fclose(gate);
    return first == 'f' ? TRITONSERVER_ErrorNew(INTERNAL, "the weights cannot be read") : NULL;
}

void *TRITONBACKEND_ModelInstanceExecute(void *instance, void **requests, unsigned count)
{
    (void)instance, (void)requests, (void)count;
    return NULL;
}
