// Tries to put a second request, or the host's own fields, into the header.
#include "net.h"
static int append(const char *name, const char *value) {
  fields_append(fields_new(), name, len(name), value, len(value), ret);
  return *r8(0) ? *r8(1) : -1;
}
__attribute__((export_name("_start"))) void start(void) {
  static const char *values[] = {"a\r\nX: y", "a\n", "a\r", "a\r\n\r\nGET /admin HTTP/1.1\r\n\r\n", "\x01", "\x7f"};
  for (u32 i = 0; i < sizeof values / sizeof *values; i++) MUST(append("x", values[i]) == 0);
  static const char *names[] = {"", "a b", "a:b", "a\r\nb", "a\n", "(a)", "\xc3\xa9"};
  for (u32 i = 0; i < sizeof names / sizeof *names; i++) MUST(append(names[i], "v") == 0);
  static const char *own[] = {"Host", "hOST", "Transfer-Encoding", "Connection", "Upgrade", "TE", "Trailer", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Expect", "HTTP2-Settings"};
  for (u32 i = 0; i < sizeof own / sizeof *own; i++) MUST(append(own[i], "x") == 1);
  static const char *lengths[] = {"-1", "+1", "1 ", "0x1", "1,1", "18446744073709551616", ""};
  for (u32 i = 0; i < sizeof lengths / sizeof *lengths; i++) {
    u32 f = fields_new(), future;
    fields_append(f, "Content-Length", 14, lengths[i], len(lengths[i]), ret);
    MUST(*r8(0) == 0);
    u32 r = request_new(f);
    set_scheme(r, 1, 0, 0, 0);
    set_authority(r, 1, server(), len(server()));
    MUST(send(r, &future) == BODY_SIZE);
  }
  proc_exit(0);
}
