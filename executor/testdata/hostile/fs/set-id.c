// Overwrites staged programs that have set-id and execute bits; the host checks
// that none is left on what the guest wrote.
#include "hostile.h"

void _start(void) {
  int fd;
  MUST(writing("setuid", &fd), OK);
  MUST(write_(fd, "#!/bin/sh\nid\n"), OK);
  MUST(fd_close(fd), OK);
  MUST(creating("setgid", &fd), OK);
  MUST(write_(fd, "#!/bin/sh\nid\n"), OK);
  MUST(open_(ROOT, "executable", FOLLOW, TRUNC, R_ALL, &fd), OK);
  MUST(creating("made", &fd), OK);
  MUST(write_(fd, "#!/bin/sh\nid\n"), OK);
  MUST(mkdir_("made-dir"), OK);
}
