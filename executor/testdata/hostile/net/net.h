// What the hostile guests share: the lowered imports of wasi:http by hand, and as much around them as a guest needs
// that speaks to a host without any library. A guest says what it found by its exit code: 0 is what it should find,
// anything else the line of the check that failed (MUST), modulo 251, plus 1.
#pragma once
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name))) extern
#define HTTP(name) IMPORT("wasi:http/types@0.2.0", name)
#define STREAMS(name) IMPORT("wasi:io/streams@0.2.0", name)
#define WASI(name) IMPORT("wasi_snapshot_preview1", name)

HTTP("[constructor]fields") u32 fields_new(void);
HTTP("[resource-drop]fields") void fields_drop(u32);
HTTP("[method]fields.append") void fields_append(u32, const void *, u32, const void *, u32, void *);
HTTP("[method]fields.entries") void fields_entries(u32, void *);
HTTP("[method]fields.clone") u32 fields_clone(u32);
HTTP("[constructor]outgoing-request") u32 request_new(u32);
HTTP("[resource-drop]outgoing-request") void request_drop(u32);
HTTP("[method]outgoing-request.set-method") u32 set_method(u32, u32, const void *, u32);
HTTP("[method]outgoing-request.set-scheme") u32 set_scheme(u32, u32, u32, const void *, u32);
HTTP("[method]outgoing-request.set-authority") u32 set_authority(u32, u32, const void *, u32);
HTTP("[method]outgoing-request.set-path-with-query") u32 set_path(u32, u32, const void *, u32);
HTTP("[method]outgoing-request.headers") u32 request_headers(u32);
HTTP("[method]outgoing-request.body") void request_body(u32, void *);
HTTP("[method]outgoing-body.write") void body_write(u32, void *);
HTTP("[static]outgoing-body.finish") void body_finish(u32, u32, u32, void *);
IMPORT("wasi:http/outgoing-handler@0.2.0", "handle") void handle(u32, u32, u32, void *);
HTTP("[method]future-incoming-response.subscribe") u32 future_subscribe(u32);
HTTP("[method]future-incoming-response.get") void future_get(u32, void *);
HTTP("[resource-drop]future-incoming-response") void future_drop(u32);
HTTP("[method]incoming-response.status") u32 response_status(u32);
HTTP("[method]incoming-response.headers") u32 response_headers(u32);
HTTP("[method]incoming-response.consume") void response_consume(u32, void *);
HTTP("[resource-drop]incoming-response") void response_drop(u32);
HTTP("[method]incoming-body.stream") void in_stream(u32, void *);
HTTP("[resource-drop]incoming-body") void in_drop(u32);
HTTP("http-error-code") void error_code(u32, void *);
STREAMS("[method]input-stream.blocking-read") void blocking_read(u32, u64, void *);
STREAMS("[resource-drop]input-stream") void input_drop(u32);
STREAMS("[method]output-stream.check-write") void check_write(u32, void *);
STREAMS("[method]output-stream.write") void stream_write(u32, const void *, u32, void *);
STREAMS("[method]output-stream.blocking-write-zeroes-and-flush") void write_zeroes(u32, u64, void *);
IMPORT("wasi:io/poll@0.2.0", "poll") void poll(const void *, u32, void *);
IMPORT("wasi:io/poll@0.2.0", "[method]pollable.block") void pollable_block(u32);
IMPORT("wasi:io/poll@0.2.0", "[resource-drop]pollable") void pollable_drop(u32);
IMPORT("wasi:clocks/monotonic-clock@0.2.0", "subscribe-duration") u32 subscribe_duration(u64);
IMPORT("wasi:random/random@0.2.0", "get-random-bytes") void random_bytes(u64, void *);
WASI("proc_exit") _Noreturn void proc_exit(u32);
WASI("args_get") u32 args_get(void *, void *);

#define MUST(cond) do { if (!(cond)) proc_exit(1 + __LINE__ % 251); } while (0)

// The error-codes that guests look for, by their number.
enum { IP_PROHIBITED = 4, LIMIT_REACHED = 11, DENIED = 15, BODY_SIZE = 17, METHOD_INVALID = 18, RESPONSE_BODY_SIZE = 28, LOOP = 36 };

static u64 ret[8]; // where results go
static u8 *r8(u32 at) { return (u8 *)ret + at; }
static u32 r32(u32 at) { return *(u32 *)((u8 *)ret + at); }

#ifndef OWN_REALLOC
static u8 heap[1 << 20] __attribute__((aligned(16)));
static u32 heap_used;
__attribute__((export_name("cabi_realloc"))) void *cabi_realloc(void *old, u32 old_size, u32 align, u32 size) {
  heap_used = (heap_used + align - 1) & -align;
  if (heap_used + size > sizeof heap) heap_used = 0; // nothing is kept for long
  void *p = heap + heap_used;
  heap_used += size;
  return p;
}
#endif

static u32 len(const char *s) { u32 n = 0; while (s[n]) n++; return n; }

// server gives the authority of the test's server, the first argument.
static const char *server(void) {
  static char *argv[8];
  static char buf[512];
  MUST(args_get(argv, buf) == 0);
  return argv[1];
}

// request makes a GET over http without header; 0 if the authority or path is refused.
static u32 request(const char *authority, const char *path) {
  u32 r = request_new(fields_new());
  MUST(set_scheme(r, 1, 0, 0, 0) == 0);
  if (set_authority(r, 1, authority, len(authority)) || set_path(r, 1, path, len(path))) {
    request_drop(r);
    return 0;
  }
  return r;
}

// send gives an error-code, or -1 and a future.
static int send(u32 r, u32 *future) {
  handle(r, 0, 0, ret);
  if (*r8(0)) return *r8(8);
  *future = r32(8);
  return -1;
}

// await gives an error-code, or -1 and a response. It drops the future.
static int await(u32 future, u32 *response) {
  u32 p = future_subscribe(future);
  pollable_block(p);
  pollable_drop(p);
  future_get(future, ret);
  MUST(*r8(0) == 1 && *r8(8) == 0);
  int code = -1;
  if (*r8(16)) code = *r8(24); else *response = r32(24);
  future_drop(future);
  return code;
}

static int get(const char *authority, const char *path, u32 *response) {
  u32 r = request(authority, path), future;
  MUST(r != 0);
  int code = send(r, &future);
  return code >= 0 ? code : await(future, response);
}

// read_all gives an error-code, or -1, and how many bytes came. It drops the response.
static int read_all(u32 response, u64 *total) {
  response_consume(response, ret);
  MUST(*r8(0) == 0);
  u32 body = r32(4);
  in_stream(body, ret);
  u32 stream = r32(4);
  int code = -1;
  for (*total = 0;;) {
    blocking_read(stream, 16 << 10, ret);
    if (!*r8(0)) { *total += r32(8); continue; }
    if (!*r8(4)) { error_code(r32(8), ret); code = *r8(8); }
    break;
  }
  input_drop(stream);
  in_drop(body);
  response_drop(response);
  return code;
}
