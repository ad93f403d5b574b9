// A guest that makes HTTP requests through wasi:http 0.2: fetch [-n TIMES]
// [-m METHOD] AUTHORITY PATH... prints for each one a line, "status N, B bytes" or "error
// code N". It never fails for a request's sake.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rt.h"

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define TYPES "wasi:http/types@0.2.0"
#define STREAMS "wasi:io/streams@0.2.0"

IMPORT(TYPES, "[constructor]fields") int fields(void);
IMPORT(TYPES, "[constructor]outgoing-request") int request(int fields);
IMPORT(TYPES, "[method]outgoing-request.set-scheme") int set_scheme(int r, int some, int scheme, const char *p, int n);
IMPORT(TYPES, "[method]outgoing-request.set-method") int set_method(int r, int method, const char *p, int n);
IMPORT(TYPES, "[method]outgoing-request.set-authority") int set_authority(int r, int some, const char *p, int n);
IMPORT(TYPES, "[method]outgoing-request.set-path-with-query") int set_path(int r, int some, const char *p, int n);
IMPORT("wasi:http/outgoing-handler@0.2.0", "handle") void handle(int r, int some, int options, void *ret);
IMPORT(TYPES, "[method]future-incoming-response.subscribe") int subscribe(int f);
IMPORT(TYPES, "[method]future-incoming-response.get") void get(int f, void *ret);
IMPORT(TYPES, "[resource-drop]future-incoming-response") void drop_future(int f);
IMPORT("wasi:io/poll@0.2.0", "[method]pollable.block") void block(int p);
IMPORT("wasi:io/poll@0.2.0", "[resource-drop]pollable") void drop_pollable(int p);
IMPORT(TYPES, "[method]incoming-response.status") int status(int r);
IMPORT(TYPES, "[method]incoming-response.consume") void consume(int r, void *ret);
IMPORT(TYPES, "[resource-drop]incoming-response") void drop_response(int r);
IMPORT(TYPES, "[method]incoming-body.stream") void stream(int b, void *ret);
IMPORT(TYPES, "[resource-drop]incoming-body") void drop_body(int b);
IMPORT(STREAMS, "[method]input-stream.blocking-read") void blocking_read(int s, long long n, void *ret);
IMPORT(STREAMS, "[resource-drop]input-stream") void drop_stream(int s);

// The host asks for memory only for what a read gives: one buffer is enough.
static char buffer[65536];
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  return size <= sizeof buffer ? buffer : NULL;
}

// The cases of wasi:http/types.method; what is none of them is "other".
static const char *const methods[] = {"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"};
enum { OTHER = sizeof methods / sizeof *methods };

static int method_case(const char *method) {
  int i = 0;
  while (i < OTHER && strcmp(method, methods[i])) i++;
  return i;
}

static void fetch(const char *method, const char *authority, const char *path) {
  static uint8_t ret[64] __attribute__((aligned(8)));
  int r = request(fields()), m = method_case(method);
  if (set_method(r, m, m == OTHER ? method : NULL, m == OTHER ? strlen(method) : 0)) {
    printf("bad method\n");
    return;
  }
  if (set_scheme(r, 1, 0, NULL, 0) || set_authority(r, 1, authority, strlen(authority)) || set_path(r, 1, path, strlen(path))) {
    printf("bad request\n");
    return;
  }
  handle(r, 0, 0, ret);
  if (ret[0]) {
    printf("error code %d\n", ret[8]);
    return;
  }
  int future = *(int *)(ret + 8);
  int p = subscribe(future);
  block(p);
  drop_pollable(p);
  get(future, ret);
  if (ret[16]) {
    printf("error code %d\n", ret[24]);
    drop_future(future);
    return;
  }
  int response = *(int *)(ret + 24), code = status(response);
  drop_future(future);
  consume(response, ret);
  int body = *(int *)(ret + 4);
  stream(body, ret);
  int in = *(int *)(ret + 4);
  long bytes = 0;
  for (;;) {
    blocking_read(in, sizeof buffer, ret);
    if (ret[0]) break;
    bytes += *(int *)(ret + 8);
  }
  printf("status %d, %ld bytes%s\n", code, bytes, ret[4] == 0 ? ", cut off" : "");
  if (ret[4] == 0) exit(0); // its last-operation-failed error is a child of the stream
  drop_stream(in);
  drop_body(body);
  drop_response(response);
}

int main(int argc, char **argv) {
  int i = 1, times = 1;
  if (argc > 2 && !strcmp(argv[1], "-n")) times = atoi(argv[2]), i = 3;
  const char *method = "GET";
  if (argc > i + 1 && !strcmp(argv[i], "-m")) method = argv[i + 1], i += 2;
  char *authority = argv[i++];
  for (; i < argc; i++)
    for (int n = 0; n < times; n++) {
      fetch(method, authority, argv[i]);
      fflush(stdout);
    }
  return 0;
}
