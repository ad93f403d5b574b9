// Tries to end the request line early, to use methods that open tunnels, and to send user information.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  static const char *paths[] = {"/ HTTP/1.1\r\nX: y", "/a b", "/\r\n", "/\x7f", "/\t", "/#x", "/%", "/%2", "/%zz", "x", "http://evil/", "/\xc3\xa9"};
  for (u32 i = 0; i < sizeof paths / sizeof *paths; i++) MUST(request(server(), paths[i]) == 0);
  static const char *authorities[] = {"a\r\nX: y", "a b", "u:p@a", "a/b", "a?b", "a#b", "[::1", "::1", "a:b", "a:99999"};
  for (u32 i = 0; i < sizeof authorities / sizeof *authorities; i++) MUST(request(authorities[i], "/") == 0);
  u32 r = request(server(), "/"), future, response;
  static const char *methods[] = {"", "G T", "GET / HTTP/1.1\r\nX:", "GET\n", "\xc3\xa9"};
  for (u32 i = 0; i < sizeof methods / sizeof *methods; i++) MUST(set_method(r, 9, methods[i], len(methods[i])) == 1);
  MUST(set_method(r, 5, 0, 0) == 0);
  MUST(send(r, &future) == -1 && await(future, &response) == METHOD_INVALID);
  r = request(server(), "/");
  MUST(set_scheme(r, 1, 2, "file", 4) == 0);
  MUST(send(r, &future) >= 0);
  proc_exit(0);
}
